// The stylesheet as the server sends it, and the address pages ask for it under.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

export const stylesheetPath = '/assets/style.css'

export const stylesheet = readFileSync(new URL('./style.css', import.meta.url), 'utf8')

const mark = createHash('sha256').update(stylesheet).digest('hex').slice(0, 12)

/** With a mark of its content, so that it may be cached for ever and still changes with a release. */
export const stylesheetHref = `${stylesheetPath}?v=${mark}`
