// What each route of Bull Board 9.10.1 does, by method and pattern. Bull Board itself does not classify its routes. A
// route missing from this table counts as `watch` if it only reads (GET) and as `destroy` otherwise; a test compares
// the table with the library.

/** `watch` reads; `operate` is a daily task that is safe for every job; `destroy` loses, forges or alters jobs. */
export type BoardPermission = 'watch' | 'operate' | 'destroy'

export const boardRoutes: Readonly<Record<string, BoardPermission>> = {
  'GET /': 'watch',
  'GET /metrics-history': 'watch',
  'GET /job-schedulers': 'watch',
  'GET /queue/:queueName': 'watch',
  'GET /queue/:queueName/:jobId': 'watch',
  'GET /static/*': 'watch',
  'GET /api/redis/stats': 'watch',
  'GET /api/queues': 'watch',
  'GET /api/job-schedulers': 'watch',
  'GET /api/queues/:queueName/metrics': 'watch',
  'GET /api/queues/:queueName/default-job-options': 'watch',
  'GET /api/queues/:queueName/workers': 'watch',
  'GET /api/queues/:queueName/rate-limit': 'watch',
  'GET /api/queues/:queueName/job-data-schema': 'watch',
  'GET /api/queues/:queueName/:jobId': 'watch',
  'GET /api/queues/:queueName/:jobId/logs': 'watch',
  'GET /api/queues/:queueName/:jobId/flow': 'watch',

  'PUT /api/queues/pause': 'operate',
  'PUT /api/queues/resume': 'operate',
  'PUT /api/queues/:queueName/pause': 'operate',
  'PUT /api/queues/:queueName/resume': 'operate',
  'PUT /api/queues/:queueName/retry/:queueStatus': 'operate',
  'PUT /api/queues/:queueName/promote': 'operate',
  'PUT /api/queues/:queueName/:jobId/retry': 'operate',
  'PUT /api/queues/:queueName/:jobId/promote': 'operate',

  'POST /api/queues/:queueName/add': 'destroy',
  'PUT /api/queues/:queueName/clean/:queueStatus': 'destroy',
  'PUT /api/queues/:queueName/concurrency': 'destroy',
  'PUT /api/queues/:queueName/rate-limit': 'destroy',
  'PUT /api/queues/:queueName/rate-limit/release': 'destroy',
  'PUT /api/queues/:queueName/empty': 'destroy',
  'PUT /api/queues/:queueName/obliterate': 'destroy',
  'PUT /api/queues/:queueName/job-schedulers/:schedulerId/remove': 'destroy',
  'PATCH /api/queues/:queueName/job-schedulers/:schedulerId': 'destroy',
  // Adds a job whose id is not one of the catalogue's; operators use `reconsent sweep` to sweep at once.
  'PUT /api/queues/:queueName/job-schedulers/:schedulerId/run': 'destroy',
  'PUT /api/queues/:queueName/:jobId/clean': 'destroy',
  'PATCH /api/queues/:queueName/:jobId/update-data': 'destroy',
  'PATCH /api/queues/:queueName/:jobId/delay': 'destroy',
  'PATCH /api/queues/:queueName/:jobId/priority': 'destroy',
  'PUT /api/queues/:queueName/:jobId/remove-unprocessed-children': 'destroy',
}

/** `route` is the route's pattern below the board's own path. HEAD is GET without a body. */
export const permissionFor = (method: string, route: string): BoardPermission => {
  const verb = method === 'HEAD' ? 'GET' : method
  return boardRoutes[`${verb} ${route}`] ?? (verb === 'GET' ? 'watch' : 'destroy')
}
