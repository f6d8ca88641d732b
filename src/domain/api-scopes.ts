// What a key of the API may do. A route names the one scope that it needs.

export const apiScopes = {
  'consents:read': 'read consents, their events, and why they are as they are',
  'consents:write': 'create and change consents, ask for renewals, pause, resume and close them',
  'tokens:read': 'read refresh tokens; each read is an event',
  'links:create': 'make links that lead a user to the bank',
  'callbacks:write': 'pass on what a bank sent to a redirect_uri of your own',
  'events:read': 'read the feed of events',
  'people:erase': 'erase and export all that is held about a person',
} as const

export type ApiScope = keyof typeof apiScopes

export const apiScopeNames = Object.keys(apiScopes) as readonly ApiScope[]

/**
 * The scopes of the keys in API_KEYS_SHA256, which were made before there were scopes: all but the one that destroys
 * data.
 */
export const configuredKeyScopes: readonly ApiScope[] = apiScopeNames.filter((scope) => scope !== 'people:erase')
