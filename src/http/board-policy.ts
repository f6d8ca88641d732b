// What each route of Bull Board does, by method and pattern, as its version 9.10.1 has them. The board has no such
// notion itself, so a route that is not in this table is refused unless it only reads; a test compares the table with
// the library.

/** `watch` reads; `operate` is a daily act that every job is safe under; `destroy` loses, forges or bends work. */
export type BoardAct = 'watch' | 'operate' | 'destroy'

export const boardRoutes: Readonly<Record<string, BoardAct>> = {
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
  // Adds a job outside the catalogue's ids; `reconsent sweep` is the way to sweep now.
  'PUT /api/queues/:queueName/job-schedulers/:schedulerId/run': 'destroy',
  'PUT /api/queues/:queueName/:jobId/clean': 'destroy',
  'PATCH /api/queues/:queueName/:jobId/update-data': 'destroy',
  'PATCH /api/queues/:queueName/:jobId/delay': 'destroy',
  'PATCH /api/queues/:queueName/:jobId/priority': 'destroy',
  'PUT /api/queues/:queueName/:jobId/remove-unprocessed-children': 'destroy',
}

/** `route` is the pattern below the board's own path. HEAD is GET without a body. */
export const actOf = (method: string, route: string): BoardAct => {
  const verb = method === 'HEAD' ? 'GET' : method
  return boardRoutes[`${verb} ${route}`] ?? (verb === 'GET' ? 'watch' : 'destroy')
}
