// What the API's routes are given: the store, and how its records are shown. Part of the composition root: it
// constructs objects and decides nothing.
import type { Clock } from '../clock.ts'
import type { Policy } from '../domain/policy.ts'
import type { ConsentRouteDeps } from '../http/api/consents.ts'
import type { EventRouteDeps } from '../http/api/events.ts'
import { consentEtag, eventJson, feedEventJson, historyJson } from '../presentation/consent-json.ts'
import { consentPageJson } from '../presentation/consent-page.ts'
import { explainedJson } from '../presentation/explanation.ts'
import { administration } from '../store/administration.ts'
import { consentPages } from '../store/consent-pages.ts'
import { namingOutages } from '../store/database-errors.ts'
import type { Database } from '../store/database.ts'
import { listEvents } from '../store/events.ts'
import { listing } from '../store/listing.ts'
import type { Store } from '../store/port.ts'

export interface ApiParts {
  readonly db: Database
  readonly store: Pick<Store, 'findConsent' | 'getView'>
  readonly policy: Policy
  readonly clock: Clock
}

export const apiDeps = ({ db, store, policy, clock }: ApiParts): ConsentRouteDeps & EventRouteDeps => {
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
    listEvents: async (after, limit) => (await reads.listFeed(after, limit)).map(feedEventJson),
  }
}
