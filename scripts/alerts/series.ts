// The names of the series in the cases, as the program writes them, with labels in the program's order.

export const DAY = 24 * 60

export const message = (result: string): string => `reconsent_messages_total{result="${result}"}`
export const job = (queue: string, result: string): string =>
  `reconsent_jobs_total{queue="${queue}",result="${result}"}`
export const call = (endpoint: string, answer: string): string =>
  `reconsent_provider_calls_total{endpoint="${endpoint}",answer="${answer}"}`
export const raised = (name: string): string => `reconsent_alerts_total{name="${name}"}`
export const overdue = (kind: string): string => `reconsent_overdue_seconds{kind="${kind}"}`
export const attention = (reason: string): string => `reconsent_attention{reason="${reason}"}`
export const renewed = 'reconsent_renewals_total{basis="later-than-known"}'
export const callbacksFailed = 'reconsent_callbacks_total{answer="failed"}'
export const sweepAge = 'reconsent_sweep_age_seconds{queue="sweep"}'
export const readable = 'reconsent_counts_readable'
export const queueUsable = 'reconsent_queue_usable'
export const webhook = (result: string): string => `reconsent_webhook_deliveries_total{result="${result}"}`
export const feedLag = 'reconsent_feed_lag_seconds{feed="events"}'
