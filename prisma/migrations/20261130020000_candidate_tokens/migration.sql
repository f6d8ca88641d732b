-- A refresh token that an import brings waits as a candidate beside the current one until the provider has accepted one of the two
-- (docs/decisions/0048). A release that does not know the columns leaves them as they are, and goes on with the current token.

ALTER TABLE "consents"
    ADD COLUMN "token_issued_at" TIMESTAMPTZ(3),
    ADD COLUMN "token_accepted_at" TIMESTAMPTZ(3),
    ADD COLUMN "token_rejected_at" TIMESTAMPTZ(3),
    ADD COLUMN "candidate_token" TEXT,
    ADD COLUMN "candidate_version" INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN "candidate_arrived_at" TIMESTAMPTZ(3),
    ADD COLUMN "candidate_issued_at" TIMESTAMPTZ(3);
ALTER TABLE "consents" ADD CONSTRAINT "consents_candidate_is_whole" CHECK (
    ("candidate_token" IS NULL) = ("candidate_arrived_at" IS NULL) AND ("candidate_token" IS NOT NULL OR "candidate_issued_at" IS NULL)
);
-- The circuit breaker looks for a connection that the provider has accepted lately.
CREATE INDEX "consents_accepted" ON "consents"("token_accepted_at") WHERE "token_accepted_at" IS NOT NULL;

CREATE TABLE "token_fingerprints" (
    "consent_id" UUID NOT NULL,
    "fingerprint" BYTEA NOT NULL,
    "state" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "token_fingerprints_pkey" PRIMARY KEY ("consent_id", "fingerprint")
);
CREATE INDEX "token_fingerprints_fingerprint_idx" ON "token_fingerprints"("fingerprint");
ALTER TABLE "token_fingerprints" ADD CONSTRAINT "token_fingerprints_consent_id_fkey" FOREIGN KEY ("consent_id") REFERENCES "consents"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "token_fingerprints" ADD CONSTRAINT "token_fingerprints_state_known" CHECK ("state" IN ('current', 'candidate', 'replaced', 'rejected', 'superseded'));
ALTER TABLE "token_fingerprints" ADD CONSTRAINT "token_fingerprints_is_sha256" CHECK (octet_length("fingerprint") = 32);
