// The name of one of the run's processes in the database: its seat, and its process id, which no later process in the
// seat shares.

export const writerName = (seat: string, pid: number): string => `${seat}:${pid}`
