// The inbox as web pages: a list, and one mail with its text, its HTML and its links.
import { html, page } from './html.ts'
import type { Html } from './html.ts'
import type { Mail, MailStore } from './mail-store.ts'

const SHOWN = 200
const PLACE = 'Simulated inbox'

const time = (iso: string): Html => html`<time datetime="${iso}">${iso.slice(0, 10)} ${iso.slice(11, 19)}</time>`

const row = (mail: Mail): Html => html`<tr>
<td>${time(mail.at)}</td>
<td>${mail.to.join(', ')}</td>
<td><a href="/inbox/${mail.id}">${mail.subject || '(no subject)'}</a></td>
</tr>
`

const table = (mails: readonly Mail[]): Html => html`<div class="scroll"><table>
<thead><tr><th scope="col">Received (UTC)</th><th scope="col">To</th><th scope="col">Subject</th></tr></thead>
<tbody>
${mails.map(row)}</tbody>
</table></div>`

export const inboxPage = (mails: MailStore, to: string | undefined): Html => {
  const found = mails.list({ to, limit: SHOWN })
  const none = to === undefined ? 'No mail has come yet.' : `No mail for ${to}.`
  return page({
    title: to === undefined ? 'Inbox' : `Inbox of ${to}`,
    place: PLACE,
    main: html`<form method="get" action="/inbox">
<label for="to">Only mails to</label>
<input type="text" id="to" name="to" value="${to ?? ''}" autocomplete="off">
<button type="submit">Show</button>
</form>
<p>Newest first, at most ${SHOWN}. Received in all: ${mails.received()}. Reload the page to look again.</p>
${found.length === 0 ? html`<p><strong>${none}</strong></p>` : table(found)}`,
  })
}

// Links in the frame open a new tab, because the bank's page would not work inside a sandboxed frame.
const frame = (body: string): Html =>
  html`<iframe title="The mail as HTML" sandbox="allow-popups allow-popups-to-escape-sandbox"
srcdoc="${`<base target="_blank">${body}`}"></iframe>`

const linkItem = (link: string): Html => html`<li><a class="mail-link" href="${link}">${link}</a></li>\n`

export const mailPage = (mail: Mail): Html =>
  page({
    title: mail.subject || '(no subject)',
    place: PLACE,
    main: html`<p><a href="/inbox">All mails</a></p>
<dl>
<dt>From</dt><dd>${mail.from}</dd>
<dt>To</dt><dd>${mail.to.join(', ')}</dd>
<dt>Received</dt><dd>${time(mail.at)} UTC</dd>
<dt>Message-ID</dt><dd>${mail.message_id || 'none'}</dd>
</dl>
<h2>Links in this mail</h2>
${mail.links.length === 0 ? html`<p>None.</p>` : html`<ul>${mail.links.map(linkItem)}</ul>`}
<h2>As HTML</h2>
${mail.html === '' ? html`<p>This mail has no HTML part.</p>` : frame(mail.html)}
<h2>As text</h2>
${mail.text === '' ? html`<p>This mail has no text part.</p>` : html`<pre>${mail.text}</pre>`}`,
  })

export const noMailPage = (): Html =>
  page({
    title: 'No such mail',
    place: PLACE,
    main: html`<p>It was never here, or it is no longer kept.</p>
<p><a href="/inbox">All mails</a></p>`,
  })
