// What the API's routes are given: the store, and how its records are shown. Part of the composition root: it
// constructs objects and decides nothing.
import type { Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import type { Policy } from '../domain/policy.ts'
import type { AccessTokenRouteDeps } from '../http/api/access-token.ts'
import type { ChangeSteps, ConsentChange } from '../http/api/changes.ts'
import type { ConsentRouteDeps } from '../http/api/consents.ts'
import type { EventRouteDeps } from '../http/api/events.ts'
import type { ApiDeps, ApiSteps } from '../http/api/register-api.ts'
import { consentEtag, consentJson, eventJson, feedEventJson, historyJson } from '../presentation/consent-json.ts'
import { consentPageJson } from '../presentation/consent-page.ts'
import { explainedJson } from '../presentation/explanation.ts'
import type { Enqueue } from '../processors/enqueue.ts'
import type { GiveAccessToken } from '../processors/give-access-token.ts'
import { receiveCallback } from '../processors/receive-callback.ts'
import type { AdministrationAnswer, Request } from '../store/administration-port.ts'
import { administration } from '../store/administration.ts'
import type { Answered, RepeatableAnswer, RepeatableRequest } from '../store/answers-port.ts'
import { answerOnce, within } from '../store/answers.ts'
import { atTheBank } from '../store/at-the-bank.ts'
import { consentPages } from '../store/consent-pages.ts'
import { namingOutages } from '../store/database-errors.ts'
import type { Database } from '../store/database.ts'
import { listEvents } from '../store/events.ts'
import { listing } from '../store/listing.ts'
import type { Store } from '../store/port.ts'
import type { Statements } from '../store/statements.ts'
import { findConsentIn } from '../store/views.ts'

export interface ApiParts {
  readonly db: Database
  readonly store: Pick<Store, 'findConsent' | 'getView'>
  readonly policy: Policy
  readonly clock: Clock
  readonly enqueue: Enqueue
  /** How long a code that is handed to the queue counts as queued. */
  readonly queuedFor: Duration
  readonly giveAccessToken: GiveAccessToken
}

type Deps = ConsentRouteDeps & AccessTokenRouteDeps & EventRouteDeps & Pick<ApiDeps, 'answerOnce' | 'steps'>

export const apiDeps = (parts: ApiParts): Deps => {
  const { db, store, policy, clock } = parts
  const { getHistory, listFeed } = listing(db, policy.channels)
  const reads = namingOutages({
    ...consentPages(db),
    getHistory,
    listFeed,
    listEvents: async (id: string, afterSeq: number, limit: number) => listEvents(db, id, afterSeq, limit),
  })
  const { showToken } = namingOutages(administration(db, policy))
  return {
    getConsentJson: async (name) => {
      const consent = await store.findConsent(name)
      const history = consent && (await reads.getHistory(consent.id))
      return history && { json: historyJson(history, clock.now(), policy), etag: consentEtag(history.consent) }
    },
    listConsentsJson: async (wanted, page) => consentPageJson(reads, wanted, { ...page, now: clock.now(), policy }),
    listConsentEventsJson: async (name, { afterSeq, limit }) => {
      const consent = await store.findConsent(name)
      return consent && (await reads.listEvents(consent.id, afterSeq, limit)).map(eventJson)
    },
    explainJson: async (name) => {
      const consent = await store.findConsent(name)
      const view = consent && (await store.getView(consent.id))
      return view && explainedJson(view, clock.now(), policy)
    },
    showToken: async (name, { reason, by }) => {
      const consent = await store.findConsent(name)
      const shown = consent && (await showToken(consent.id, { now: clock.now(), actor: 'company', reason, by }))
      return shown && { id: consent.id, credentialsId: consent.credentialsId, ...shown }
    },
    giveAccessToken: async (name, reader) => {
      const consent = await store.findConsent(name)
      const answer = consent && (await parts.giveAccessToken(consent.id, reader))
      return answer && { id: consent.id, credentialsId: consent.credentialsId, answer }
    },
    listEvents: async (after, limit) => (await reads.listFeed(after, limit)).map(feedEventJson),
    steps: namingOutages({
      changeConsent: async (...given: Parameters<ChangeSteps['changeConsent']>) =>
        db.transaction(async (tx) => changesIn(parts, tx).changeConsent(...given)),
    }),
    answerOnce: async (request, write) => answerOncePerKey(parts, request, write),
  }
}

const changesIn = ({ db, policy, clock }: ApiParts, tx: Statements): ChangeSteps => {
  const admin = administration(within(db, tx), policy)
  const act = async (id: string, change: ConsentChange, request: Request): Promise<AdministrationAnswer> => {
    switch (change.kind) {
      case 'renew':
        return admin.requestRenewal(id, { ...request, resend: change.resend })
      case 'pause':
        return admin.pauseConsent(id, request)
      case 'resume':
        return admin.resumeConsent(id, request)
      case 'close':
        return admin.closeForGood(id, change.as, request)
    }
  }
  return {
    changeConsent: async (name, change, { reason, by }) => {
      const now = clock.now()
      const found = await findConsentIn(tx, name)
      if (found === undefined) return undefined
      const { kind, detail } = await act(found.id, change, { now, reason, by, actor: 'company' })
      const consent = (await findConsentIn(tx, found.id)) ?? found
      return { kind, detail, consent: consentJson(consent, now, policy), etag: consentEtag(consent) }
    },
  }
}

/** The write and its answer are one transaction. What it hands to the queue waits until that is committed. */
const answerOncePerKey = async <Answer extends RepeatableAnswer>(
  parts: ApiParts,
  request: Omit<RepeatableRequest, 'now'>,
  write: (steps: ApiSteps) => Promise<Answer>,
): Promise<Answered<Answer>> => {
  const { db, clock, queuedFor } = parts
  const later: Parameters<Enqueue>[] = []
  const { answered } = namingOutages({
    answered: async () =>
      answerOnce(db, { ...request, now: clock.now() }, async (tx) => {
        const receive = receiveCallback({
          store: atTheBank(within(db, tx)),
          enqueue: async (...given) => void later.push(given),
          clock,
          queuedFor,
        })
        return write({ ...changesIn(parts, tx), receiveCallback: receive })
      }),
  })
  const answer = await answered()
  for (const given of later) void parts.enqueue(...given)
  return answer
}
