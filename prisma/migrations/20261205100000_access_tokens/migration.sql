-- The access token of a connection, for companies that let Reconsent alone refresh (docs/decisions/0061). A release that does not know the columns
-- leaves them as they are: nobody has asked it for an access token, so it has none to end.

ALTER TABLE "consents"
    ADD COLUMN "token_call_no" INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN "refreshing_until" TIMESTAMPTZ(3);

CREATE TABLE "access_tokens" (
    "consent_id" UUID NOT NULL,
    "access_token" TEXT,
    "version" INTEGER NOT NULL DEFAULT 0,
    "call_no" INTEGER NOT NULL DEFAULT 0,
    "token_version" INTEGER NOT NULL DEFAULT 0,
    "ends_at" TIMESTAMPTZ(3),
    "doubt_since" TIMESTAMPTZ(3),
    "retry_at" TIMESTAMPTZ(3),
    "retry_code" TEXT,
    "shown" JSONB NOT NULL DEFAULT '{}',

    CONSTRAINT "access_tokens_pkey" PRIMARY KEY ("consent_id")
);
ALTER TABLE "access_tokens" ADD CONSTRAINT "access_tokens_consent_id_fkey" FOREIGN KEY ("consent_id") REFERENCES "consents"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "access_tokens" ADD CONSTRAINT "access_tokens_token_is_whole" CHECK (("access_token" IS NULL) = ("ends_at" IS NULL));
ALTER TABLE "access_tokens" ADD CONSTRAINT "access_tokens_rest_is_whole" CHECK (("retry_at" IS NULL) = ("retry_code" IS NULL));
