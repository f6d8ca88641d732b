-- What the API answered to a request with an Idempotency-Key, for a day, so that a repetition gets the same answer (docs/decisions/0056).

CREATE TABLE "idempotency_keys" (
    "id" BYTEA NOT NULL,
    "request" BYTEA NOT NULL,
    "status" INTEGER NOT NULL,
    "answer" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "idempotency_keys_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "idempotency_keys_created_at_idx" ON "idempotency_keys"("created_at");
ALTER TABLE "idempotency_keys" ADD CONSTRAINT "idempotency_keys_are_sha256" CHECK (octet_length("id") = 32 AND octet_length("request") = 32);
-- An answer that is our own failure must not be repeated.
ALTER TABLE "idempotency_keys" ADD CONSTRAINT "idempotency_keys_status_known" CHECK ("status" BETWEEN 200 AND 499);
