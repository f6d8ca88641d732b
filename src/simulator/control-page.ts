// `/_control` for a person: what time it is here, what is set, what happened last.
import { kindNames } from './fault-kinds.ts'
import { html, page } from './html.ts'
import type { Html } from './html.ts'
import { switchHelp, switchNames } from './switches.ts'
import type { World } from './world.ts'

const LAST = 30

const advance = (by: string, label: string): Html => html`<button type="submit" name="advance" value="${by}">${label}</button>`

export const controlPage = ({ clock, switches, faults, ledger, connections, mails, smtpUrl }: World): Html => {
  const values = switches.all()
  const last = ledger.entries({ after: Math.max(0, ledger.count() - LAST) }).toReversed()
  return page({
    title: 'Simulator',
    place: 'TrueLayer simulator',
    main: html`<dl><dt>Clock</dt><dd>${clock.now().toISO()}</dd><dt>Connections</dt><dd>${connections.all().length} (<a href="/_control/connections">JSON</a>)</dd>
<dt>Mails</dt><dd>${mails.received()} (<a href="/inbox">inbox</a>, <a href="/_control/mails">JSON</a>)</dd><dt>SMTP</dt><dd>${smtpUrl()}</dd></dl>
<form method="post" action="/_control/clock"><fieldset class="actions"><legend>Move the clock</legend>
${advance('1h', '+1 hour')} ${advance('1d', '+1 day')} ${advance('7d', '+7 days')} ${advance('30d', '+30 days')} ${advance('90d', '+90 days')}</fieldset></form>
<h2>Last events</h2>
<p><a href="/_control/ledger">The whole ledger as JSON</a></p>
<div class="scroll"><table><thead><tr><th scope="col">At</th><th scope="col">What</th><th scope="col">Outcome</th><th scope="col">Connection</th><th scope="col">Fault</th></tr></thead><tbody>
${last.map((entry) => html`<tr><td>${entry.at}</td><td>${entry.what}</td><td>${entry.outcome}${entry.detail !== undefined && ` (${entry.detail})`}</td><td>${entry.credentials_id ?? entry.to?.join(', ')}</td><td>${entry.fault}</td></tr>\n`)}</tbody></table></div>
<h2>Faults</h2>
${
  faults.list().length === 0
    ? html`<p>None. Known kinds: ${kindNames.join(', ')}.</p>`
    : html`<ul>${faults.list().map((fault) => html`<li>${fault.endpoint}: <code>${JSON.stringify(fault.settings)}</code>, met by ${fault.fired} of ${fault.seen}</li>`)}</ul>`
}
<h2>Switches</h2>
<div class="scroll"><table><thead><tr><th scope="col">Switch</th><th scope="col">Now</th><th scope="col">What it decides</th></tr></thead><tbody>
${switchNames.map((name) => html`<tr><th scope="row"><code>${name}</code></th><td><code>${JSON.stringify(values[name])}</code></td><td>${switchHelp(name)}</td></tr>\n`)}</tbody></table></div>`,
  })
}
