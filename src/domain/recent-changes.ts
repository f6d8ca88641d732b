// How long ago a change may be and still be recent: of what has changed since then, there is little beside all that is
// stored.
import { Duration } from 'luxon'
import type { DateTime } from 'luxon'

const RECENT = Duration.fromObject({ days: 1 })

export const isRecentChange = (since: DateTime, now: DateTime): boolean => since >= now.minus(RECENT)
