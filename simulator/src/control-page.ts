// `/_control` as a web page: the clock's time, the settings, the last events.
import { kindNames } from './fault-kinds.ts'
import type { Fault } from './faults.ts'
import { html, page } from './html.ts'
import type { Html } from './html.ts'
import type { Entry } from './ledger.ts'
import type { Connection } from './connections.ts'
import { ownSwitchNames, switchHelp, switchNames } from './switches.ts'
import type { SwitchName } from './switches.ts'
import type { World } from './world.ts'

const LAST = 30

const advance = (by: string, label: string): Html =>
  html`<button type="submit" name="advance" value="${by}">${label}</button>\n`

const entryRow = (entry: Entry): Html => html`<tr>
<td><time datetime="${entry.at}">${entry.at.slice(0, 10)} ${entry.at.slice(11, 19)}</time></td>
<td>${entry.what}</td>
<td>${entry.outcome}${entry.detail !== undefined && ` (${entry.detail})`}</td>
<td>${entry.credentials_id ?? entry.to?.join(', ')}</td>
<td>${entry.fault}</td>
</tr>
`

const faultItem = ({ endpoint, settings, fired, seen }: Fault): Html =>
  html`<li>${endpoint}: <code>${JSON.stringify(settings)}</code>, met by ${fired} of ${seen}</li>\n`

const switchRow = (name: SwitchName, value: unknown): Html => html`<tr>
<th scope="row"><code>${name}</code></th>
<td><code>${JSON.stringify(value)}</code></td>
<td>${switchHelp(name)}</td>
</tr>
`

const ownRow = ({ credentialsId, switches }: Connection): Html => html`<tr>
<th scope="row">${credentialsId}</th>
${ownSwitchNames.map((name) => html`<td><code>${JSON.stringify(switches[name])}</code></td>`)}
</tr>
`

/** The connections that have a switch of their own, the last ones first, and the form that sets one. */
const ownSwitches = (all: readonly Connection[]): Html => {
  const own = all.filter(({ switches }) => Object.keys(switches).length > 0)
  const shown = own.toReversed().slice(0, LAST)
  return html`<h2>Switches of single connections</h2>
${
  own.length === 0
    ? html`<p>None: the switches below apply to all ${all.length} connections.</p>`
    : html`<p>${own.length} of ${all.length} connections have some; the switches below apply to the others.</p>
<div class="scroll"><table>
<thead><tr>${['Connection', ...ownSwitchNames].map((head) => html`<th scope="col">${head}</th>`)}</tr></thead>
<tbody>
${shown.map(ownRow)}</tbody>
</table></div>`
}
<form method="post" action="/_control/connections/switches">
<fieldset class="actions"><legend>Set them for one connection; an empty field gives a switch up</legend>
<label>credentials_id <input name="credentials_id" required></label>
${ownSwitchNames.map((name) => html`<label>${name} <input name="${name}" title="${switchHelp(name)}"></label>\n`)}
<button type="submit">Set</button>
</fieldset>
</form>`
}

const columns = ['At (UTC)', 'What', 'Outcome', 'Connection', 'Fault']

export const controlPage = ({ clock, switches, faults, ledger, connections, mails, smtpUrl }: World): Html => {
  const values = switches.all()
  const last = ledger.entries({ after: Math.max(0, ledger.count() - LAST) }).toReversed()
  const set = faults.list()
  return page({
    title: 'Simulator',
    place: 'TrueLayer simulator',
    main: html`<dl>
<dt>Clock</dt><dd>${clock.now().toISO()}</dd>
<dt>Connections</dt><dd>${connections.all().length} (<a href="/_control/connections">JSON</a>)</dd>
<dt>Mails</dt><dd>${mails.received()} (<a href="/inbox">inbox</a>, <a href="/_control/mails">JSON</a>)</dd>
<dt>SMTP</dt><dd>${smtpUrl()}</dd>
</dl>
<form method="post" action="/_control/clock">
<fieldset class="actions"><legend>Move the clock</legend>
${advance('1h', '+1 hour')}${advance('1d', '+1 day')}${advance('7d', '+7 days')}
${advance('30d', '+30 days')}${advance('90d', '+90 days')}
</fieldset>
</form>
<h2>Last events</h2>
<p><a href="/_control/ledger">The whole ledger as JSON</a></p>
<div class="scroll"><table>
<thead><tr>${columns.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead>
<tbody>
${last.map(entryRow)}</tbody>
</table></div>
<h2>Faults</h2>
${set.length === 0 ? html`<p>None. Known kinds: ${kindNames.join(', ')}.</p>` : html`<ul>${set.map(faultItem)}</ul>`}
${ownSwitches(connections.all())}
<h2>Switches</h2>
<div class="scroll"><table>
<thead><tr>${['Switch', 'Now', 'What it decides'].map((head) => html`<th scope="col">${head}</th>`)}</tr></thead>
<tbody>
${switchNames.map((name) => switchRow(name, values[name]))}</tbody>
</table></div>`,
  })
}
