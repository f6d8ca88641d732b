-- A message that its worker died over is sent a second time, and only once (docs/decisions/0046). The release before sets none of these
-- columns: what it finds in `sending` becomes `uncertain`, whoever began it.

ALTER TABLE "notifications" ADD COLUMN "handed_over_at" TIMESTAMPTZ(3);
ALTER TABLE "notifications" ADD COLUMN "repeated_at" TIMESTAMPTZ(3);
ALTER TABLE "message_hours" ADD COLUMN "repeated" INTEGER NOT NULL DEFAULT 0;

-- Of a repeated message nobody can say that it was never taken: it can neither fail, nor be cancelled, nor begin anew.
ALTER TABLE "notifications" ADD CONSTRAINT "notifications_repeated_is_begun"
    CHECK ("repeated_at" IS NULL OR ("sending_at" IS NOT NULL AND "status" IN ('sending', 'sent', 'uncertain')));

-- A CHECK sees only the new row, so a trigger keeps the first value.
CREATE FUNCTION "refuse_to_repeat_again"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'message % was repeated at %: it is repeated only once', OLD."id", OLD."repeated_at"
        USING ERRCODE = 'check_violation', CONSTRAINT = 'notifications_repeated_once';
END $$;
CREATE TRIGGER "notifications_repeated_once" BEFORE UPDATE OF "repeated_at" ON "notifications" FOR EACH ROW
    WHEN (OLD."repeated_at" IS NOT NULL AND NEW."repeated_at" IS DISTINCT FROM OLD."repeated_at")
    EXECUTE FUNCTION "refuse_to_repeat_again"();
