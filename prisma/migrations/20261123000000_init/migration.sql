-- Reconsent's first schema. States are text with a CHECK rather than enum types: adding one later needs no table rewrite.
-- Every open row carries next_action_at (CHECK) and is found through a partial index: the cost of a sweep follows what is due.

CREATE TABLE "consents" (
    "id" UUID NOT NULL,
    "credentials_id" TEXT NOT NULL,
    "user_id" TEXT NOT NULL,
    "provider_id" TEXT NOT NULL,
    "provider_name" TEXT,
    "country" TEXT NOT NULL,
    "redirect_uri" TEXT NOT NULL,
    "scopes" TEXT[] NOT NULL DEFAULT ARRAY[]::TEXT[],
    "email" TEXT,
    "phone" TEXT,
    "name" TEXT,
    "locale" TEXT,
    "time_zone" TEXT,
    "status" TEXT NOT NULL DEFAULT 'active',
    "cycle" INTEGER NOT NULL DEFAULT 1,
    "consented_at" TIMESTAMPTZ(3),
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "expires_source" TEXT NOT NULL,
    "refresh_token" TEXT NOT NULL,
    "token_version" INTEGER NOT NULL DEFAULT 1,
    "next_action_at" TIMESTAMPTZ(3),
    "next_action_reason" TEXT,
    "queued_until" TIMESTAMPTZ(3),
    "dispatch_no" INTEGER NOT NULL DEFAULT 0,
    "epoch" INTEGER NOT NULL DEFAULT 0,
    "lease_until" TIMESTAMPTZ(3),
    "failed_attempts" INTEGER NOT NULL DEFAULT 0,
    "last_error_code" TEXT,
    "retry_after" TIMESTAMPTZ(3),
    "mismatches" INTEGER NOT NULL DEFAULT 0,
    "superseded_by_id" UUID,
    "event_seq" INTEGER NOT NULL DEFAULT 0,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "consents_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "consents_status_known" CHECK ("status" IN ('active', 'paused', 'quarantined', 'lapsed', 'revoked', 'opted_out', 'superseded', 'unsupported')),
    CONSTRAINT "consents_expires_source_known" CHECK ("expires_source" IN ('me', 'imported', 'assumed')),
    CONSTRAINT "consents_open_is_dated" CHECK (("status" = 'active') = ("next_action_at" IS NOT NULL))
);
CREATE UNIQUE INDEX "consents_credentials_id_key" ON "consents"("credentials_id");
CREATE INDEX "consents_user_id_provider_id_idx" ON "consents"("user_id", "provider_id");
CREATE INDEX "consents_due" ON "consents"("next_action_at") WHERE "status" = 'active';
CREATE INDEX "consents_status_expires_at_idx" ON "consents"("status", "expires_at");

CREATE TABLE "renewals" (
    "id" UUID NOT NULL,
    "consent_id" UUID NOT NULL,
    "cycle" INTEGER NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'open',
    "route" TEXT,
    "opened_by" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "opened_at" TIMESTAMPTZ(3) NOT NULL,
    "closed_at" TIMESTAMPTZ(3),
    "manual_no" INTEGER NOT NULL DEFAULT 0,
    "again_no" INTEGER NOT NULL DEFAULT 0,
    "again_reason" TEXT,
    "previous_expires_at" TIMESTAMPTZ(3) NOT NULL,
    "proof" JSONB,

    CONSTRAINT "renewals_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "renewals_status_known" CHECK ("status" IN ('open', 'renewed', 'repaired', 'lapsed', 'cancelled')),
    CONSTRAINT "renewals_route_known" CHECK ("route" IN ('reauth', 'full')),
    CONSTRAINT "renewals_closed_is_dated" CHECK (("status" = 'open') = ("closed_at" IS NULL)),
    CONSTRAINT "renewals_renewed_is_proven" CHECK ("status" <> 'renewed' OR "proof" IS NOT NULL)
);
CREATE UNIQUE INDEX "renewals_consent_id_cycle_key" ON "renewals"("consent_id", "cycle");

CREATE TABLE "authorisations" (
    "id" UUID NOT NULL,
    "consent_id" UUID NOT NULL,
    "renewal_id" UUID NOT NULL,
    "route" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'issued',
    "state_hash" BYTEA NOT NULL,
    "done_id" TEXT NOT NULL,
    "redirect_uri" TEXT NOT NULL,
    "verifier" TEXT,
    "link" TEXT,
    "issued_at" TIMESTAMPTZ(3) NOT NULL,
    "handed_out_at" TIMESTAMPTZ(3),
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "code" TEXT,
    "code_received_at" TIMESTAMPTZ(3),
    "exchange_started_at" TIMESTAMPTZ(3),
    "answered_at" TIMESTAMPTZ(3),
    "token_version" INTEGER,
    "access_token" TEXT,
    "new_refresh_token" TEXT,
    "new_credentials_id" TEXT,
    "token_owner" TEXT,
    "asked" INTEGER NOT NULL DEFAULT 0,
    "error_code" TEXT,
    "bank_error" TEXT,
    "next_action_at" TIMESTAMPTZ(3),
    "queued_until" TIMESTAMPTZ(3),
    "dispatch_no" INTEGER NOT NULL DEFAULT 0,
    "epoch" INTEGER NOT NULL DEFAULT 0,
    "lease_until" TIMESTAMPTZ(3),
    "closed_at" TIMESTAMPTZ(3),

    CONSTRAINT "authorisations_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "authorisations_status_known" CHECK ("status" IN ('issued', 'code_received', 'exchanging', 'verifying', 'renewed', 'refused', 'mismatched', 'unknown', 'expired', 'superseded')),
    CONSTRAINT "authorisations_token_owner_known" CHECK ("token_owner" IN ('ours', 'beside')),
    CONSTRAINT "authorisations_route_known" CHECK ("route" IN ('reauth', 'full')),
    CONSTRAINT "authorisations_open_is_dated" CHECK (("status" IN ('issued', 'code_received', 'exchanging', 'verifying', 'unknown')) = ("next_action_at" IS NOT NULL))
);
CREATE UNIQUE INDEX "authorisations_state_hash_key" ON "authorisations"("state_hash");
CREATE UNIQUE INDEX "authorisations_done_id_key" ON "authorisations"("done_id");
CREATE INDEX "authorisations_renewal_id_issued_at_idx" ON "authorisations"("renewal_id", "issued_at");
-- A second code of the same consent waits until the first is answered: two exchanges at once could revoke each other's tokens.
CREATE UNIQUE INDEX "authorisations_one_exchange" ON "authorisations"("consent_id") WHERE "status" = 'exchanging';
CREATE UNIQUE INDEX "authorisations_one_success" ON "authorisations"("renewal_id") WHERE "status" = 'renewed';
CREATE INDEX "authorisations_due" ON "authorisations"("next_action_at") WHERE "status" IN ('code_received', 'exchanging', 'verifying', 'unknown');
CREATE INDEX "authorisations_stale" ON "authorisations"("next_action_at") WHERE "status" = 'issued';

CREATE TABLE "notifications" (
    "id" UUID NOT NULL,
    "consent_id" UUID NOT NULL,
    "renewal_id" UUID NOT NULL,
    "cycle" INTEGER NOT NULL,
    "rung" TEXT NOT NULL,
    "channel" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'pending',
    "situation" TEXT NOT NULL,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "error_code" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "sending_at" TIMESTAMPTZ(3),
    "sent_at" TIMESTAMPTZ(3),
    "next_action_at" TIMESTAMPTZ(3),
    "queued_until" TIMESTAMPTZ(3),
    "dispatch_no" INTEGER NOT NULL DEFAULT 0,
    "epoch" INTEGER NOT NULL DEFAULT 0,
    "lease_until" TIMESTAMPTZ(3),

    CONSTRAINT "notifications_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "notifications_status_known" CHECK ("status" IN ('pending', 'sending', 'sent', 'uncertain', 'failed', 'cancelled')),
    CONSTRAINT "notifications_situation_known" CHECK ("situation" IN ('reminder', 'asked-again', 'other-account', 'uncertain')),
    CONSTRAINT "notifications_open_is_dated" CHECK (("status" IN ('pending', 'sending')) = ("next_action_at" IS NOT NULL))
);
CREATE UNIQUE INDEX "notifications_consent_id_cycle_rung_channel_key" ON "notifications"("consent_id", "cycle", "rung", "channel");
CREATE INDEX "notifications_renewal_id_idx" ON "notifications"("renewal_id");
CREATE INDEX "notifications_due" ON "notifications"("next_action_at") WHERE "status" IN ('pending', 'sending');

CREATE TABLE "events" (
    "consent_id" UUID NOT NULL,
    "seq" INTEGER NOT NULL,
    "type" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "actor" TEXT NOT NULL,
    "reason" TEXT,
    "data" JSONB NOT NULL DEFAULT '{}',
    "position" BIGSERIAL NOT NULL,
    "transaction_id" BIGINT NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),

    CONSTRAINT "events_pkey" PRIMARY KEY ("consent_id", "seq"),
    CONSTRAINT "events_actor_known" CHECK ("actor" IN ('system', 'user', 'operator', 'company'))
);
-- The feed is read in the order of transactions, and only up to the oldest one still running: a reader never skips a late commit.
CREATE UNIQUE INDEX "events_transaction_id_position_key" ON "events"("transaction_id", "position");

-- Messages handed to a channel, counted per clock hour: the cap that stops a wrong clock or policy from mailing everyone.
CREATE TABLE "message_hours" (
    "hour" TIMESTAMPTZ(3) NOT NULL,
    "used" INTEGER NOT NULL,

    CONSTRAINT "message_hours_pkey" PRIMARY KEY ("hour")
);

-- What recent calls say about the provider as a whole, as opposed to one connection.
CREATE TABLE "provider_strikes" (
    "code" TEXT NOT NULL,
    "connection" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "provider_strikes_pkey" PRIMARY KEY ("code", "connection")
);
CREATE TABLE "provider_holds" (
    "name" TEXT NOT NULL,
    "since" TIMESTAMPTZ(3) NOT NULL,
    "code" TEXT NOT NULL,
    "probe_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "provider_holds_pkey" PRIMARY KEY ("name")
);

CREATE TABLE "sweeps" (
    "name" TEXT NOT NULL,
    "last_good_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "sweeps_pkey" PRIMARY KEY ("name")
);

ALTER TABLE "consents" ADD CONSTRAINT "consents_superseded_by_id_fkey" FOREIGN KEY ("superseded_by_id") REFERENCES "consents"("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "renewals" ADD CONSTRAINT "renewals_consent_id_fkey" FOREIGN KEY ("consent_id") REFERENCES "consents"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "authorisations" ADD CONSTRAINT "authorisations_consent_id_fkey" FOREIGN KEY ("consent_id") REFERENCES "consents"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "authorisations" ADD CONSTRAINT "authorisations_renewal_id_fkey" FOREIGN KEY ("renewal_id") REFERENCES "renewals"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "notifications" ADD CONSTRAINT "notifications_consent_id_fkey" FOREIGN KEY ("consent_id") REFERENCES "consents"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "notifications" ADD CONSTRAINT "notifications_renewal_id_fkey" FOREIGN KEY ("renewal_id") REFERENCES "renewals"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "events" ADD CONSTRAINT "events_consent_id_fkey" FOREIGN KEY ("consent_id") REFERENCES "consents"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
