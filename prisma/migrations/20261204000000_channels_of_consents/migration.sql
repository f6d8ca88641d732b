-- By which channels the user of a consent may be written to, names with commas between: NULL those of the policy, '' none (docs/decisions/0059).

ALTER TABLE "consents" ADD COLUMN "channels" TEXT;
