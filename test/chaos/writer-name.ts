// How a process of the run is known to the database: by its seat, and its process id, which its successor in the seat
// does not share.

export const writerName = (seat: string, pid: number): string => `${seat}:${pid}`
