// One round of the feed's timer: every committed event gets its place in the feed, batch by batch. A late or failing
// round only delays readers.
import type { Store } from '../store/port.ts'

/** Small enough for a batch to be over within a fraction of a second. */
const BATCH = 5_000

export const placeEvents =
  ({ store }: { readonly store: Pick<Store, 'sequenceEvents'> }) =>
  async (signal: AbortSignal): Promise<void> => {
    while ((await store.sequenceEvents(BATCH)) === BATCH) if (signal.aborted) return
  }
