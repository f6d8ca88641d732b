// A round of the feed's timer: every event that is committed gets its place, batch by batch. A late or failing round
// delays readers only.
import type { Store } from '../store/port.ts'

/** Small enough for a batch to be over within a fraction of a second. */
const BATCH = 5_000

export const placeEvents =
  ({ store }: { readonly store: Pick<Store, 'sequenceEvents'> }) =>
  async (signal: AbortSignal): Promise<void> => {
    while ((await store.sequenceEvents(BATCH)) === BATCH) if (signal.aborted) return
  }
