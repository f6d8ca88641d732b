// What the one word of a failure means to an operator, and what to do about it. The runbook says the same at length.

interface Words {
  readonly means: string
  readonly advice: string
}

const login =
  'give REDIS_URL the right user and password; where REDIS_URL_FILE names a file, a changed one is read again by itself'
const trust = 'name the authority that signed it: rediss://…?ca=/path/to/ca.pem'
const reach = 'check REDIS_URL, that Redis runs, and that this machine may reach it'

/** A server with too many clients says so, but closes the connection before its answer can be read. */
const closed: Words = {
  means: 'the connection was closed at once',
  advice:
    'is TLS asked for on one side alone (rediss://), or maxclients reached? ' +
    'A server that wants a certificate of ours is given one by ?cert=…&key=…',
}

const redis: Readonly<Record<string, Words>> = {
  READONLY: {
    means: 'REDIS_URL points at a replica, which takes no writes',
    advice: 'point it at the primary, by an address that follows a failover, or use redis-sentinel://',
  },
  LOADING: { means: 'Redis is still loading its data', advice: 'wait: this passes by itself' },
  MASTERDOWN: {
    means: 'a replica that has lost its primary',
    advice: 'point REDIS_URL at the primary, or bring that back',
  },
  NOREPLICAS: {
    means: 'the primary has fewer good replicas than min-replicas-to-write asks for',
    advice: 'bring the replicas back, or lower min-replicas-to-write',
  },
  UNBLOCKED: { means: 'Redis fails over just now', advice: 'wait: this passes by itself' },
  BUSY: {
    means: 'a script of somebody else keeps Redis busy',
    advice: 'look at SLOWLOG and at who shares this Redis; SCRIPT KILL ends a script that has written nothing',
  },
  DENIED: {
    means: 'Redis is in its protected mode: it has no password, and takes connections of its own machine alone',
    advice: 'give it a password, and REDIS_URL the same',
  },
  NOAUTH: { means: 'Redis wants a password', advice: login },
  WRONGPASS: { means: 'Redis refuses the user or password', advice: login },
  NOPERM: {
    means: 'the user of Redis lacks a right',
    advice: 'grant it: ACL SETUSER <user> ~{reconsent}* &{reconsent}* +@all -@dangerous',
  },
  OOM: { means: 'Redis is full (maxmemory)', advice: 'give it more memory; let nothing else use it' },
  MISCONF: {
    means: 'Redis takes no writes because it cannot save its data to disk',
    advice: "look at Redis's own log: the disk is full or not writable",
  },
  MOVED: {
    means: 'REDIS_URL names one node of a cluster as if it were a single server',
    advice: 'write it as redis-cluster://user:password@host1:6379,host2:6379',
  },
  REDIRECTED: {
    means: 'each node of the cluster sends us to another: our slot is being moved, or the node that has it is away',
    advice: 'look at CLUSTER NODES; the end of a move ends it',
  },
  CLUSTERDOWN: {
    means: 'the cluster does not serve our slot',
    advice: 'look at CLUSTER INFO and CLUSTER NODES: a primary is gone and no replica has taken its place',
  },
  NOCLUSTER: {
    means: 'REDIS_URL begins with redis-cluster://, but the server is not part of a cluster',
    advice: 'write it as redis://host:6379',
  },
  UNKNOWNCOMMAND: {
    means: 'the server does not know a command that the queue needs: is it a sentinel, or not Redis?',
    advice: 'point REDIS_URL at Redis 7.0.8 or later; sentinels are named by redis-sentinel://',
  },
  NODATABASE: {
    means: 'REDIS_URL names a database that the server does not have',
    advice: 'use one below the number in its setting databases',
  },
  NOSENTINEL: {
    means: 'no sentinel answers',
    advice: 'check the hosts of REDIS_URL; the usual port of a sentinel is 26379, and rediss-sentinel:// is for TLS',
  },
  NOPRIMARY: {
    means: 'the sentinels know no primary by the name in REDIS_URL',
    advice: 'use the name from their `sentinel monitor <name> …`',
  },
  MAXCLIENTS: { means: 'Redis has as many clients as maxclients allows', advice: 'raise maxclients' },
  ECONNREFUSED: { means: 'nothing listens there', advice: reach },
  ENOTFOUND: { means: 'its name is unknown', advice: reach },
  EAI_AGAIN: { means: 'its name cannot be looked up just now', advice: 'check the DNS of this machine' },
  ETIMEDOUT: { means: 'no answer came in time', advice: `${reach}; rediss:// is for a server that speaks TLS` },
  EHOSTUNREACH: { means: 'there is no way to its address', advice: reach },
  ECONNRESET: closed,
  EPIPE: closed,
  SELF_SIGNED_CERT_IN_CHAIN: { means: 'its certificate is signed by an authority that is not trusted', advice: trust },
  DEPTH_ZERO_SELF_SIGNED_CERT: { means: 'its certificate is signed by itself', advice: trust },
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: {
    means: 'its certificate is signed by an authority that is not trusted',
    advice: trust,
  },
  UNABLE_TO_GET_ISSUER_CERT: { means: 'its certificate is signed by an authority that is not trusted', advice: trust },
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: {
    means: 'its certificate is signed by an authority that is not trusted',
    advice: trust,
  },
  CERT_SIGNATURE_FAILURE: { means: 'its certificate is not signed by the authority in ca', advice: trust },
  CERT_UNTRUSTED: { means: 'its certificate is signed by an authority that is not trusted', advice: trust },
  CERT_NOT_YET_VALID: { means: 'its certificate is not valid yet', advice: "is this machine's clock right?" },
  CERT_HAS_EXPIRED: { means: 'its certificate has expired', advice: 'renew it' },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    means: 'its certificate is for another name',
    advice: 'use that name in REDIS_URL, or give it as ?servername=…',
  },
  EPROTO: {
    means: 'it does not speak TLS, or refuses ours',
    advice:
      'without TLS, REDIS_URL begins with redis://; a server that wants a certificate of ours needs ?cert=…&key=…',
  },
  ERR_SSL_WRONG_VERSION_NUMBER: {
    means: 'it does not speak TLS',
    advice: 'without TLS, REDIS_URL begins with redis://',
  },
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: {
    means: 'it wants a certificate of ours',
    advice: 'give one: rediss://…?cert=/path/to/our.pem&key=/path/to/our.key',
  },
}

/** For errors of the queue's own tables; all other errors are explained in `postgres/trouble.ts`. */
const postgres: Readonly<Record<string, Words>> = {
  '42501': {
    means: "the role may not write the queue's tables",
    advice: 'run: reconsent migrate, with MIGRATE_DATABASE_URL and DATABASE_URL set',
  },
  '42P01': { means: "the queue's tables are missing", advice: 'run: reconsent migrate' },
  '3F000': { means: "the queue's tables are missing", advice: 'run: reconsent migrate' },
  '53100': { means: 'the disk is full', advice: 'give PostgreSQL more disk' },
}

const unknown = 'it refuses what the queue needs'

/** `said`: the meaning to use when this file does not know the word. */
export const wordsFor = (kind: 'redis' | 'postgres', word: string, said = unknown): Words => {
  const known = kind === 'redis' ? redis : postgres
  const words = Object.hasOwn(known, word) ? known[word] : undefined
  return words ?? { means: said, advice: kind === 'redis' ? reach : 'check DATABASE_URL' }
}
