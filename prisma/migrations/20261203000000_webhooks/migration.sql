-- Webhooks (docs/decisions/0057). An endpoint keeps its place in the feed; only what was not taken has rows of its own. No table that the
-- loop writes changes, and a release that does not know these leaves them alone.

CREATE TABLE "webhook_endpoints" (
    "id" UUID NOT NULL,
    "url" TEXT NOT NULL,
    "types" TEXT[] NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'enabled',
    "disabled_reason" TEXT,
    "disabled_at" TIMESTAMPTZ(3),
    "cursor" BIGINT NOT NULL,
    "cursor_chain" TEXT,
    "failed_in_a_row" INTEGER NOT NULL DEFAULT 0,
    "failing_since" TIMESTAMPTZ(3),
    "rests_until" TIMESTAMPTZ(3),
    "delivered_at" TIMESTAMPTZ(3),
    "fencing_token" INTEGER NOT NULL DEFAULT 0,
    "lease_until" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "webhook_endpoints_pkey" PRIMARY KEY ("id")
);
ALTER TABLE "webhook_endpoints" ADD CONSTRAINT "webhook_endpoints_status_known" CHECK ("status" IN ('enabled', 'disabled'));
ALTER TABLE "webhook_endpoints" ADD CONSTRAINT "webhook_endpoints_disabled_has_reason" CHECK (
    ("status" = 'disabled') = ("disabled_reason" IS NOT NULL) AND ("status" = 'disabled') = ("disabled_at" IS NOT NULL)
);

CREATE TABLE "webhook_secrets" (
    "id" UUID NOT NULL,
    "endpoint_id" UUID NOT NULL,
    "secret" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "expires_at" TIMESTAMPTZ(3),

    CONSTRAINT "webhook_secrets_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "webhook_secrets_endpoint_id_idx" ON "webhook_secrets"("endpoint_id");
ALTER TABLE "webhook_secrets" ADD CONSTRAINT "webhook_secrets_endpoint_id_fkey" FOREIGN KEY ("endpoint_id") REFERENCES "webhook_endpoints"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- A consent whose event was not taken: the event ("seq"), and what was given up and the receiver has not been told of yet ("gaps").
-- "is_early": the endpoint is back, and the event is tried once before its time.
CREATE TABLE "webhook_backlogs" (
    "endpoint_id" UUID NOT NULL,
    "consent_id" UUID NOT NULL,
    "seq" INTEGER,
    "failed_tries" INTEGER NOT NULL DEFAULT 0,
    "next_try_at" TIMESTAMPTZ(3),
    "is_early" BOOLEAN NOT NULL DEFAULT false,
    "gaps" INTEGER[] NOT NULL DEFAULT '{}',

    CONSTRAINT "webhook_backlogs_pkey" PRIMARY KEY ("endpoint_id", "consent_id")
);
CREATE INDEX "webhook_backlogs_endpoint_id_next_try_at_idx" ON "webhook_backlogs"("endpoint_id", "next_try_at");
ALTER TABLE "webhook_backlogs" ADD CONSTRAINT "webhook_backlogs_endpoint_id_fkey" FOREIGN KEY ("endpoint_id") REFERENCES "webhook_endpoints"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "webhook_backlogs" ADD CONSTRAINT "webhook_backlogs_waiting_has_date" CHECK (("seq" IS NULL) = ("next_try_at" IS NULL));

CREATE TABLE "webhook_replays" (
    "id" UUID NOT NULL,
    "endpoint_id" UUID NOT NULL,
    "from_at" TIMESTAMPTZ(3) NOT NULL,
    "to_at" TIMESTAMPTZ(3) NOT NULL,
    "cursor" BIGINT NOT NULL,
    "last" BIGINT NOT NULL,
    "failed_tries" INTEGER NOT NULL DEFAULT 0,
    "next_try_at" TIMESTAMPTZ(3) NOT NULL,
    "requested_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "webhook_replays_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "webhook_replays_endpoint_id_requested_at_idx" ON "webhook_replays"("endpoint_id", "requested_at");
ALTER TABLE "webhook_replays" ADD CONSTRAINT "webhook_replays_endpoint_id_fkey" FOREIGN KEY ("endpoint_id") REFERENCES "webhook_endpoints"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- The log of tries. It outlives its endpoint, and is deleted by age alone. Its key is random: a server to which all this was replicated
-- counts sequences anew.
CREATE TABLE "webhook_deliveries" (
    "id" UUID NOT NULL DEFAULT gen_random_uuid(),
    "endpoint_id" UUID NOT NULL,
    "webhook_id" TEXT NOT NULL,
    "consent_id" UUID NOT NULL,
    "seq" INTEGER NOT NULL,
    "type" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "result" TEXT NOT NULL,
    "attempt" INTEGER NOT NULL,
    "status_code" INTEGER,
    "detail" TEXT,
    "took_ms" INTEGER NOT NULL,
    "is_replay" BOOLEAN NOT NULL,

    CONSTRAINT "webhook_deliveries_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "webhook_deliveries_at_idx" ON "webhook_deliveries"("at");
CREATE INDEX "webhook_deliveries_endpoint_id_at_idx" ON "webhook_deliveries"("endpoint_id", "at");
ALTER TABLE "webhook_deliveries" ADD CONSTRAINT "webhook_deliveries_result_known" CHECK ("result" IN ('delivered', 'failed', 'given-up'));
