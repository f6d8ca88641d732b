// Hands one message to its channel: the intent is committed at the channel's word, and an answer that is late is
// recorded, because a message whose worker dies after that is not repeated.
import type { Clock } from '../clock.ts'
import type { Delivery, Handover } from '../notify/port.ts'
import type { Claim, Notifications, SendingStart } from '../store/port.ts'

/**
 * An answer usually comes within this time, so that nothing is recorded of most messages. A server that takes longer
 * may do so with every message.
 */
export const ANSWER_USUALLY_WITHIN_MS = 1_000

interface Deps {
  readonly store: Pick<Notifications, 'recordHandedOver'>
  readonly clock: Clock
}

export interface HandedOver {
  readonly delivery: Delivery
  /** What came of the intent; undefined when the server ended the sending before it. */
  readonly start: SendingStart | undefined
}

/** Rejects when the intent could not be committed. Then nothing of the message has left. */
export const handOver = async (
  { store, clock }: Deps,
  claim: Claim,
  {
    begin,
    send,
  }: { readonly begin: () => Promise<SendingStart>; readonly send: (handover: Handover) => Promise<Delivery> },
): Promise<HandedOver> => {
  let start: SendingStart | undefined
  let isAnswered = false
  let timer: NodeJS.Timeout | undefined
  const handover: Handover = {
    begin: async () => {
      start = await begin()
      return start.kind === 'reserved'
    },
    left: () => {
      if (isAnswered) return
      // Best effort: without the record, a death from here on means a second mail.
      timer = setTimeout(
        () => void store.recordHandedOver(claim, clock.now()).catch(() => undefined),
        ANSWER_USUALLY_WITHIN_MS,
      )
    },
  }
  try {
    const delivery = await send(handover)
    return { delivery, start }
  } finally {
    isAnswered = true
    clearTimeout(timer)
  }
}
