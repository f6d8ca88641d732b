// The e-mail channel: mails in two versions, plain and HTML, sent by SMTP.
import type { Texts } from '../../texts/load-texts.ts'
import type { Channel } from '../port.ts'
import { makeRenderMail } from './render.ts'
import { type Mail, smtpChannel, type SmtpOptions } from './smtp-channel.ts'

/** Throws when `smtpUrl` or `from` is malformed. */
export const emailChannel = ({ texts, ...smtp }: SmtpOptions & { readonly texts: Texts }): Channel<Mail> => {
  const render = makeRenderMail({ texts })
  return {
    compose: (facts) => ({
      ...render(facts),
      to: facts.to,
      messageId: `${facts.id}@${new URL(facts.link.reveal()).hostname}`,
    }),
    ...smtpChannel(smtp),
    diagnosis: { check: 'mail', advice: 'check SMTP_URL, and that this machine may reach the mail server' },
  }
}
