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
import type { SyncSteps } from '../http/api/syncs.ts'
import type { WriteSteps } from '../http/api/writes.ts'
import { makeBodyCheck, makeChangesCheck } from '../import/check-body.ts'
import { consentEtag, consentJson, eventJson, feedEventJson, historyJson } from '../presentation/consent-json.ts'
import { consentPageJson } from '../presentation/consent-page.ts'
import { explainedJson } from '../presentation/explanation.ts'
import type { Enqueue } from '../processors/enqueue.ts'
import type { GiveAccessToken } from '../processors/give-access-token.ts'
import { receiveCallback } from '../processors/receive-callback.ts'
import type { AdministrationAnswer, Request } from '../store/administration-port.ts'
import { administration } from '../store/administration.ts'
import { apiWrites } from '../store/api-writes.ts'
import type { Answered, RepeatableAnswer, RepeatableRequest } from '../store/answers-port.ts'
import { answerOnce, within } from '../store/answers.ts'
import { atTheBank } from '../store/at-the-bank.ts'
import { consentPages } from '../store/consent-pages.ts'
import { againAfterCollision, namingOutages } from '../store/database-errors.ts'
import type { Database } from '../store/database.ts'
import { listEvents } from '../store/events.ts'
import { listing } from '../store/listing.ts'
import { lockConsent } from '../store/locks.ts'
import type { Store } from '../store/port.ts'
import { toConsent } from '../store/rows.ts'
import type { Statements } from '../store/statements.ts'
import { closeSync, noteInSync, openSync } from '../store/syncs.ts'
import { findConsentIn } from '../store/views.ts'

export interface ApiParts {
  readonly db: Database
  readonly store: Pick<Store, 'findConsent' | 'getView'>
  readonly policy: Policy
  readonly clock: Clock
  readonly enqueue: Enqueue
  /** How long a code that is handed to the queue counts as queued. */
  readonly queuedFor: Duration
  /** Whether every redirect_uri must be https. */
  readonly httpsOnly: boolean
  readonly publicUrl: string
  readonly giveAccessToken: GiveAccessToken
}

/** Events of a consent that is shown with its history; the others are in the list of its events. */
const SHOWN_EVENTS = 200

type Deps = ConsentRouteDeps &
  AccessTokenRouteDeps &
  EventRouteDeps &
  Pick<ApiDeps, 'answerOnce' | 'steps' | 'bodyCheck' | 'checkChanges' | 'openForLink'>

export const apiDeps = (parts: ApiParts): Deps => {
  const { db, store, policy, clock, httpsOnly, publicUrl } = parts
  const { getHistory, listFeed } = listing(db, policy.channels)
  const reads = namingOutages({
    ...consentPages(db),
    getHistory,
    listFeed,
    listEvents: async (id: string, afterSeq: number, limit: number) => listEvents(db, id, afterSeq, limit),
  })
  const { showToken, openCycle } = namingOutages(administration(db, policy))
  return {
    getConsentJson: async (name) => {
      const consent = await store.findConsent(name)
      const history = consent && (await reads.getHistory(consent.id, SHOWN_EVENTS))
      return (
        history && { json: historyJson(history, clock.now(), policy), etag: consentEtag(history.consent, db.vault) }
      )
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
    openForLink: async (name, { open, reason, by }) => {
      const consent = await store.findConsent(name)
      return consent && openCycle(consent.id, { now: clock.now(), actor: 'company', reason, by, open })
    },
    giveAccessToken: async (name, reader) => {
      const consent = await store.findConsent(name)
      const answer = consent && (await parts.giveAccessToken(consent.id, reader))
      return answer && { id: consent.id, credentialsId: consent.credentialsId, answer }
    },
    listEvents: async (after, limit) => (await reads.listFeed(after, limit)).map(feedEventJson),
    bodyCheck: () => makeBodyCheck({ now: clock.now(), httpsOnly, publicUrl }),
    checkChanges: (given) => makeChangesCheck(clock.now())(given),
    steps: stepsAlone(parts),
    answerOnce: async (request, write) => answerOncePerKey(parts, request, write),
  }
}

type OwnSteps = ChangeSteps & WriteSteps & SyncSteps

/** Each step is a transaction of its own. */
const stepsAlone = (parts: ApiParts): OwnSteps => {
  const alone =
    <Given extends unknown[], Answer>(pick: (steps: OwnSteps) => (...given: Given) => Promise<Answer>) =>
    async (...given: Given): Promise<Answer> =>
      againAfterCollision(async () => parts.db.transaction(async (tx) => pick(stepsIn(parts, tx))(...given)))
  return namingOutages({
    changeConsent: alone(({ changeConsent }) => changeConsent),
    putConsent: alone(({ putConsent }) => putConsent),
    putConsents: alone(({ putConsents }) => putConsents),
    changeContact: alone(({ changeContact }) => changeContact),
    openSync: alone(({ openSync: open }) => open),
    closeSync: alone(({ closeSync: close }) => close),
  })
}

const stepsIn = (parts: ApiParts, tx: Statements): OwnSteps => ({
  ...changesIn(parts, tx),
  ...writesIn(parts, tx),
  ...syncsIn(parts, tx),
})

const writesIn = ({ db, policy, clock }: ApiParts, tx: Statements): WriteSteps => {
  const writes = apiWrites(tx, { vault: db.vault, policy })
  return {
    putConsent: async (row, { by }, isExpected) => {
      const now = clock.now()
      const named = await findConsentIn(tx, row.credentialsId)
      if (named !== undefined && named.credentialsId !== row.credentialsId)
        return {
          kind: 'refused',
          detail: 'this is our id of a consent: PUT it by its credentials_id',
          consent: undefined,
          etag: undefined,
        }
      const result = await writes.putRow(row, { now, by }, (current) =>
        isExpected(current && consentEtag(current, db.vault)),
      )
      if (result === undefined) return undefined
      const consent = await findConsentIn(tx, row.credentialsId)
      return {
        ...result,
        consent: consent && consentJson(consent, now, policy),
        etag: consent && consentEtag(consent, db.vault),
      }
    },
    putConsents: async (rows, { by }, sync) => {
      if (sync !== undefined && !(await noteInSync(tx, sync.id, sync.credentialsIds))) return undefined
      return writes.putRows(rows, { now: clock.now(), by })
    },
    changeContact: async (name, changes, { by }, isExpected) => {
      const now = clock.now()
      const found = await findConsentIn(tx, name)
      if (found === undefined) return undefined
      const answer = await writes.changeContact(found.id, changes, { now, by }, (current) =>
        isExpected(current && consentEtag(current, db.vault)),
      )
      if (answer === 'not-as-expected') return answer
      const consent = (await findConsentIn(tx, found.id)) ?? found
      return { ...answer, consent: consentJson(consent, now, policy), etag: consentEtag(consent, db.vault) }
    },
  }
}

const syncsIn = ({ db, policy, clock }: ApiParts, tx: Statements): SyncSteps => ({
  openSync: async () => openSync(tx, clock.now()),
  closeSync: async (id, { pause, reason, by }) =>
    closeSync(db, tx, policy, id, { now: clock.now(), actor: 'company', reason, by, pause }),
})

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
    changeConsent: async (name, change, { reason, by }, isExpected) => {
      const now = clock.now()
      const found = await findConsentIn(tx, name)
      if (found === undefined) return undefined
      // The lock is held until the change is committed: nobody changes the consent in between.
      const locked = await lockConsent(tx, found.id)
      if (!isExpected(locked && consentEtag(toConsent(locked), db.vault))) return 'not-as-expected'
      const { kind, detail } = await act(found.id, change, { now, reason, by, actor: 'company' })
      const consent = (await findConsentIn(tx, found.id)) ?? found
      return { kind, detail, consent: consentJson(consent, now, policy), etag: consentEtag(consent, db.vault) }
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
  let later: Parameters<Enqueue>[] = []
  const { answered } = namingOutages({
    answered: async () =>
      againAfterCollision(async () =>
        answerOnce(db, { ...request, now: clock.now() }, async (tx) => {
          later = []
          const receive = receiveCallback({
            store: atTheBank(within(db, tx)),
            enqueue: async (...given) => void later.push(given),
            clock,
            queuedFor,
          })
          return write({ ...stepsIn(parts, tx), receiveCallback: receive })
        }),
      ),
  })
  const answer = await answered()
  for (const given of later) void parts.enqueue(...given)
  return answer
}
