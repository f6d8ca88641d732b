// The mail of the sides other than Reconsent: text and HTML with the start link, over connections that are kept.
import { createTransport } from 'nodemailer'
import { escapeHtml } from './pages.ts'
import type { Order } from './order.ts'

export const mailerOf = ({ smtpUrl, mailFrom, publicUrl }: Order) => {
  const transport = createTransport({ url: smtpUrl, pool: true, maxConnections: 10 })
  return {
    /** Resolves when the server has taken the mail. */
    send: async (renewalId: string, to: string, bank: string): Promise<void> => {
      const link = `${publicUrl}/r/${renewalId}`
      await transport.sendMail({
        from: mailFrom,
        to,
        messageId: `<${renewalId}@example.com>`,
        subject: `Keep sharing your ${bank} accounts`,
        text: `Your permission to read your ${bank} accounts ends soon. Renew it here:\n\n${link}\n`,
        html: `<p>Your permission to read your ${escapeHtml(bank)} accounts ends soon.</p>
<p><a href="${link}">Renew it</a></p>`,
      })
    },
    close: () => transport.close(),
  }
}
