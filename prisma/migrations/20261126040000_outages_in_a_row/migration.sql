-- How often in a row something around a consent was away when its job ran (src/domain/outage.ts): what it rests by, minutes first and hours
-- later. Apart from failed_attempts, which counts answers about the consent itself. A release that does not know it leaves it as it is.

ALTER TABLE "consents" ADD COLUMN "outages" INTEGER NOT NULL DEFAULT 0;
