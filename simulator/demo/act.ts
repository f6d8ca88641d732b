// Plays one user by real HTTP, as a browser without JavaScript would: opens the start link from the mail, presses the
// button, decides at the bank.
import type { Decision } from '../src/bank.ts'
import type { Mail } from '../src/mail-store.ts'
import type { Simulator } from '../src/start-simulator.ts'
import type { Role } from './cast.ts'

export const mailsOf = (simulator: Simulator, role: Role): readonly Mail[] => simulator.mails({ to: role.email })

const startLink = (mail: Mail | undefined, role: Role): string => {
  const link = mail?.links.find((one) => new URL(one).pathname.startsWith('/r/'))
  if (link === undefined) throw new Error(`${role.name} has no mail with a start link`)
  return link
}

/** Opens the start page, presses its button, and returns the authorisation URL. */
const leave = async (link: string): Promise<string> => {
  const page = await fetch(link)
  if (page.status !== 200) throw new Error(`the start page answered ${page.status}`)
  const pressed = await fetch(link, { method: 'POST', redirect: 'manual' })
  const bank = pressed.headers.get('location')
  if (pressed.status !== 303 || bank === null) throw new Error(`the start page's button answered ${pressed.status}`)
  return bank
}

/** Decides at the bank and follows the bank's redirect; returns the text of the last page. */
const decide = async (simulator: Simulator, link: string, as: Decision): Promise<string> => {
  const played = await simulator.play({ link, as })
  if (played.kind !== 'callback') return played.kind
  const answer = await (played.method === 'GET'
    ? fetch(played.url)
    : fetch(played.url, { method: 'POST', body: new URLSearchParams(played.form) }))
  return answer.text()
}

/** What the user does when the first message has arrived. */
export const actAtOnce = async (simulator: Simulator, role: Role): Promise<void> => {
  const mail = mailsOf(simulator, role)[0]
  switch (role.deed) {
    case 'approves':
      await decide(simulator, await leave(startLink(mail, role)), 'approve')
      return
    case 'clicks twice': {
      const link = startLink(mail, role)
      const [first, second] = [await leave(link), await leave(link)]
      if (first === second) throw new Error('two clicks were given the same link')
      await decide(simulator, second, 'approve')
      await decide(simulator, first, 'approve')
      return
    }
    case 'denies':
      await decide(simulator, await leave(startLink(mail, role)), 'deny')
      return
    case 'closes the tab':
      await decide(simulator, await leave(startLink(mail, role)), 'close')
      return
    case 'approves as somebody else':
      await decide(simulator, await leave(startLink(mail, role)), 'somebody-else')
      return
    case 'approves from an old mail':
    case 'ignores':
    case 'is not asked':
  }
}

/** What the user does days later, when a second message has arrived. */
export const actLater = async (simulator: Simulator, role: Role): Promise<void> => {
  if (role.deed !== 'approves from an old mail') return
  // The newest mail comes first, so the last one is the oldest.
  await decide(simulator, await leave(startLink(mailsOf(simulator, role).at(-1), role)), 'approve')
}
