// The bank: a page on which the user decides, and the redirect (or form post) that brings the result back to the
// redirect_uri.
import { pageAnswer, redirectAnswer } from './answer.ts'
import type { Answer } from './answer.ts'
import { html, page } from './html.ts'
import type { Html } from './html.ts'
import type { BankLink } from './links.ts'
import type { World } from './world.ts'

/** What the user can do at the bank. */
export const decisions = ['approve', 'deny', 'close', 'bank-error', 'somebody-else'] as const
export type Decision = (typeof decisions)[number]

const place = (link: BankLink | undefined): string =>
  link === undefined ? 'Simulated bank' : `${link.bank.displayName} (simulated)`

const button = (decision: Decision, label: string): Html => {
  const look = decision === 'approve' && html`class="main" `
  return html`<button ${look}type="submit" name="decision" value="${decision}">${label}</button>`
}

const consentPage = ({ clock, switches, client }: World, link: BankLink): Html => {
  const until = clock
    .now()
    .plus({ days: switches.get('validity_days') })
    .toFormat("d LLLL yyyy 'at' HH:mm 'UTC'")
  return page({
    title:
      link.credentialsId === undefined
        ? `Share your ${link.bank.displayName} accounts`
        : `Keep sharing your ${link.bank.displayName} accounts`,
    place: place(link),
    main: html`<p>This page plays the part of ${link.bank.displayName}. The company with the client id
<strong>${client.id}</strong> asks to read your account data. Choose what you, the user, do now.</p>
<dl>
<dt>Shared</dt><dd>${link.scopes.filter((scope) => scope !== 'offline_access').join(', ')}</dd>
<dt>If you approve now, until</dt><dd>${until}</dd>
<dt>Connection</dt><dd>${link.credentialsId ?? 'a new one'}</dd>
</dl>
<form method="post" action="/bank/${encodeURIComponent(link.bank.providerId)}/authorise/${link.id}">
<fieldset class="actions"><legend>What do you do?</legend>
${button('approve', 'Approve')}
${button('deny', 'Deny')}
${button('close', 'Close the tab')}
${button('bank-error', 'Bank error')}
${button('somebody-else', 'Approve as somebody else')}
</fieldset>
</form>`,
  })
}

const noticePage = (link: BankLink | undefined, title: string, text: string): Html =>
  page({ title, place: place(link), main: html`<p>${text}</p>` })

const expired = (link: BankLink, what: 'bank' | 'decision'): Answer =>
  pageAnswer(
    410,
    noticePage(
      link,
      'This link has expired',
      'A link to the bank works once and for a short time only. Go back to the company and ask for a new one.',
    ),
    {
      what,
      outcome: 'expired',
      credentials_id: link.credentialsId,
      link_no: link.no,
    },
  )

const unknown = (what: 'bank' | 'decision'): Answer =>
  pageAnswer(404, noticePage(undefined, 'Unknown link', 'The bank does not know this link.'), {
    what,
    outcome: 'unknown',
  })

/** `GET /bank/…`. Opening a link uses it up; a link that is used up or too old shows the expired page. */
export const answerBankPage = (world: World, link: BankLink | undefined): Answer => {
  if (link === undefined) return unknown('bank')
  if (!world.links.open(link)) return expired(link, 'bank')
  return pageAnswer(200, consentPage(world, link), {
    what: 'bank',
    outcome: 'ok',
    credentials_id: link.credentialsId,
    link_no: link.no,
  })
}

/** Fields of the callback (RFC 6749 4.1.2). */
const callbackFields = (world: World, link: BankLink, decision: Exclude<Decision, 'close'>): Record<string, string> => {
  const { switches, connections, links } = world
  const state: Record<string, string> = link.state === undefined ? {} : { state: link.state }
  if (decision === 'deny' || decision === 'bank-error') {
    const error = switches.get(decision === 'deny' ? 'deny_error' : 'bank_error')
    const description = decision === 'deny' ? 'The user did not approve' : 'The bank had a problem'
    return { error, ...(switches.get('error_description') ? { error_description: description } : {}), ...state }
  }
  const code = links.issueCode(link, decision === 'approve' ? 'owner' : 'somebody-else')
  if (decision === 'approve' && link.credentialsId !== undefined && switches.get('renews_at') === 'approval')
    connections.renew(link.credentialsId)
  return { code: code.value, ...state }
}

const formPost = (link: BankLink, fields: Record<string, string>): Html =>
  page({
    title: 'Back to the company',
    place: place(link),
    main: html`<form id="callback" method="post" action="${link.redirectUri}">
${Object.entries(fields).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`)}
<p>You are being sent back. If nothing happens, press the button.</p>
<p class="actions"><button class="main" type="submit">Continue</button></p>
</form>
<script>document.getElementById('callback').submit()</script>`,
  })

/** `POST /bank/…` with the pressed button. */
export const answerDecision = (world: World, link: BankLink | undefined, pressed: unknown): Answer => {
  if (link === undefined) return unknown('decision')
  const about = { what: 'decision', credentials_id: link.credentialsId, link_no: link.no } as const
  const decision = decisions.find((one) => one === pressed)
  if (decision === undefined) {
    const choices = `The form needs the field "decision" with one of: ${decisions.join(', ')}.`
    return pageAnswer(400, noticePage(link, 'Unknown decision', choices), { ...about, outcome: 'unknown-decision' })
  }
  if (!world.links.decide(link)) return expired(link, 'decision')
  const noted = { ...about, outcome: decision }
  if (decision === 'close') {
    return pageAnswer(
      200,
      noticePage(link, 'You stopped here', 'The company hears nothing. You can close this tab.'),
      noted,
    )
  }
  const fields = callbackFields(world, link, decision)
  if (link.responseMode === 'form_post') return pageAnswer(200, formPost(link, fields), noted)
  const target = new URL(link.redirectUri)
  for (const [name, value] of Object.entries(fields)) target.searchParams.append(name, value)
  return redirectAnswer(target.href, noted)
}
