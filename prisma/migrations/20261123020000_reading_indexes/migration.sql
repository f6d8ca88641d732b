-- What is read without being due: one consent's history (`show`, GET /v1/consents/:id), and how many messages are uncertain (every
-- scrape of the metrics). Both read a whole table that only grows. Writes to it wait while its index is built: seconds for a million rows.

CREATE INDEX "authorisations_consent_id_idx" ON "authorisations"("consent_id");
CREATE INDEX "notifications_uncertain" ON "notifications"("id") WHERE "status" = 'uncertain';
