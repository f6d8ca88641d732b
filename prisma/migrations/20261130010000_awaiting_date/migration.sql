-- An attempt whose new date may come late has a status of its own (docs/decisions/0047). The release before never writes it, and its sweeps
-- and statements leave such rows alone: what it asks of the index implies the index's new condition.
ALTER TABLE "authorisations" DROP CONSTRAINT "authorisations_status_known";
ALTER TABLE "authorisations" ADD CONSTRAINT "authorisations_status_known" CHECK ("status" IN ('issued', 'code_received', 'exchanging', 'verifying', 'renewed', 'refused', 'mismatched', 'in_doubt', 'awaiting_date', 'expired', 'superseded'));
ALTER TABLE "authorisations" DROP CONSTRAINT "authorisations_open_is_dated";
ALTER TABLE "authorisations" ADD CONSTRAINT "authorisations_open_is_dated" CHECK (("status" IN ('issued', 'code_received', 'exchanging', 'verifying', 'in_doubt', 'awaiting_date')) = ("next_action_at" IS NOT NULL));
DROP INDEX "authorisations_due";
CREATE INDEX "authorisations_due" ON "authorisations"("next_action_at") WHERE "status" IN ('code_received', 'exchanging', 'verifying', 'in_doubt', 'awaiting_date');
