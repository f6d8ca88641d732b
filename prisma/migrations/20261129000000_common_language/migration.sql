-- Columns, tables and stored values get the names of the glossary in docs/architecture.md. Events are not rewritten: they are a chain of
-- hashes, and readers map the one old event type (src/store/rows.ts). The names that are sealed into encrypted columns stay as they are, too.
--
-- The release before cannot work on the tables as they are afterwards, and must be stopped first (docs/decisions/0042): each of its claims
-- and writes names "epoch", so a process that was forgotten fails before it sends anything, and writes nothing. A process that is at work
-- now would lose what it is about to store (new tokens in the worst case), so a held lease stops this migration. With the tables locked,
-- no lease can begin behind the look.

LOCK TABLE "consents", "renewals", "authorisations", "notifications", "provider_strikes", "provider_holds" IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    held INTEGER;
    latest TIMESTAMPTZ;
BEGIN
    SELECT count(*), max("lease_until") INTO held, latest FROM (
        SELECT "lease_until" FROM "consents" UNION ALL
        SELECT "lease_until" FROM "authorisations" UNION ALL
        SELECT "lease_until" FROM "notifications"
    ) AS leases WHERE "lease_until" > clock_timestamp();
    IF held > 0 THEN
        RAISE EXCEPTION 'processes of the release before are at work on % record(s), under leases until %: stop them all (web, worker, scheduler), then migrate again', held, latest;
    END IF;
END $$;

ALTER TABLE "consents" RENAME COLUMN "epoch" TO "fencing_token";
ALTER TABLE "authorisations" RENAME COLUMN "epoch" TO "fencing_token";
ALTER TABLE "notifications" RENAME COLUMN "epoch" TO "fencing_token";
ALTER TABLE "authorisations" RENAME COLUMN "asked" TO "poll_count";
ALTER TABLE "authorisations" RENAME COLUMN "new_refresh_token" TO "pending_refresh_token";

-- A circuit was always named by its code: one column says it.
ALTER TABLE "provider_holds" RENAME TO "open_circuits";
ALTER TABLE "open_circuits" RENAME CONSTRAINT "provider_holds_pkey" TO "open_circuits_pkey";
ALTER TABLE "open_circuits" RENAME COLUMN "probe_at" TO "trial_at";
ALTER TABLE "open_circuits" DROP COLUMN "code";
ALTER TABLE "provider_strikes" RENAME TO "provider_failures";
ALTER TABLE "provider_failures" RENAME CONSTRAINT "provider_strikes_pkey" TO "provider_failures_pkey";

ALTER TABLE "authorisations" DROP CONSTRAINT "authorisations_status_known";
ALTER TABLE "authorisations" DROP CONSTRAINT "authorisations_open_is_dated";
ALTER TABLE "authorisations" DROP CONSTRAINT "authorisations_token_owner_known";
DROP INDEX "authorisations_due";
UPDATE "authorisations" SET "status" = 'in_doubt' WHERE "status" = 'unknown';
UPDATE "authorisations" SET "token_owner" = 'pending' WHERE "token_owner" = 'beside';
ALTER TABLE "authorisations" ADD CONSTRAINT "authorisations_status_known" CHECK ("status" IN ('issued', 'code_received', 'exchanging', 'verifying', 'renewed', 'refused', 'mismatched', 'in_doubt', 'expired', 'superseded'));
ALTER TABLE "authorisations" ADD CONSTRAINT "authorisations_open_is_dated" CHECK (("status" IN ('issued', 'code_received', 'exchanging', 'verifying', 'in_doubt')) = ("next_action_at" IS NOT NULL));
ALTER TABLE "authorisations" ADD CONSTRAINT "authorisations_token_owner_known" CHECK ("token_owner" IN ('ours', 'pending'));
CREATE INDEX "authorisations_due" ON "authorisations"("next_action_at") WHERE "status" IN ('code_received', 'exchanging', 'verifying', 'in_doubt');

WITH "renamed" ("old", "new") AS (VALUES
    ('provider-paused', 'provider-circuit-open'),
    ('exchange-unknown', 'exchange-in-doubt'),
    ('token-dead', 'token-invalid'),
    ('mail-away', 'message-unavailable'),
    ('mail-refused', 'message-refused'),
    ('mail-too-large', 'message-too-large'),
    ('mail-deferred', 'message-deferred'),
    ('mail-uncertain', 'message-uncertain'),
    ('on-hold', 'consent-suspended'),
    ('cell-unreadable', 'decryption-failed'),
    ('fenced', 'cycle-closed')
), "consents_renamed" AS (
    UPDATE "consents" SET "last_error_code" = "new" FROM "renamed" WHERE "last_error_code" = "old"
), "authorisations_renamed" AS (
    UPDATE "authorisations" SET "error_code" = "new" FROM "renamed" WHERE "error_code" = "old"
)
UPDATE "notifications" SET "error_code" = "new" FROM "renamed" WHERE "error_code" = "old";
