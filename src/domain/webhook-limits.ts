// How many endpoints of webhooks there may be.

/** As many as one process serves at once, so that none ever waits for another. */
export const MAX_ENDPOINTS = 16
