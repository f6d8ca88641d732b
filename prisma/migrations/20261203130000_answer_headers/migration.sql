-- A repeated answer has the headers of the first: the ETag of what was changed. Answers of the previous release have none.

ALTER TABLE "idempotency_keys" ADD COLUMN "headers" TEXT;
