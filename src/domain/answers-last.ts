// How long the API repeats an answer to who repeats a request.
import { Duration } from 'luxon'

export const ANSWERS_LAST = Duration.fromObject({ hours: 24 })
