// The stylesheet as the server sends it, and the address from which pages load it.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

export const stylesheetPath = '/assets/style.css'

export const stylesheet = readFileSync(new URL('./style.css', import.meta.url), 'utf8')

const mark = createHash('sha256').update(stylesheet).digest('hex').slice(0, 12)

/**
 * The address holds a hash of the content, so that browsers may cache the file for ever and still load a new release's.
 */
export const stylesheetHref = `${stylesheetPath}?v=${mark}`
