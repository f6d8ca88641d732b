// Seals one value of an encrypted column: AES-256-GCM, bound to its table, column, row and version. Knows nothing of
// the contents. Text format: v1.<key id>.<iv, base64url>.<ciphertext and tag, base64url>
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { PermanentError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { KeyRing } from './key-ring.ts'

/** Where a sealed value belongs: it opens only there, and only as long as the row keeps this version. */
export interface CellAddress {
  readonly table: string
  readonly column: string
  readonly rowId: string
  /** Counts the values that this column of the row has had (`token_version`); 0 or more. */
  readonly version: number
}

const FORMAT = 'v1'
// NIST SP 800-38D: random 96-bit IVs are safe for 2^32 values under one key; rotate long before that.
const IV_BYTES = 12
const TAG_BYTES = 16
const KEY_ID = /^[A-Za-z0-9_-]{1,16}$/

/**
 * Thrown for a stored secret that cannot be opened. `cause` distinguishes a missing key from altered or misplaced data;
 * the error keeps no plaintext.
 */
export class DecryptionFailed extends PermanentError {
  override readonly cause: 'unknown-key' | 'not-authentic' | 'malformed'
  /** The id of the key that the value was sealed with, if that could be read. */
  readonly keyId: string | undefined

  constructor(cause: DecryptionFailed['cause'], keyId?: string) {
    super('decryption-failed')
    this.cause = cause
    this.keyId = keyId
  }
}

/** A part of the additional data: each is preceded by its length, so that no two addresses produce the same bytes. */
const part = (text: string): Buffer => {
  const bytes = Buffer.from(text, 'utf8')
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

/** The parts that all values of a column under one key have in common; there are few columns and few keys. */
const beginnings = new Map<string, Buffer>()
const beginningFor = (keyId: string, table: string, column: string): Buffer => {
  const name = JSON.stringify([keyId, table, column])
  let beginning = beginnings.get(name)
  if (beginning === undefined) {
    beginning = Buffer.concat(['reconsent cell', FORMAT, keyId, table, column].map(part))
    beginnings.set(name, beginning)
  }
  return beginning
}

const additionalData = (keyId: string, { table, column, rowId, version }: CellAddress): Buffer => {
  if (!Number.isSafeInteger(version) || version < 0)
    throw new RangeError('the version of a cell must be a whole number, 0 or more')
  return Buffer.concat([beginningFor(keyId, table, column), part(rowId), part(String(version))])
}

let ivs = Buffer.alloc(0)
/** To draw random bytes for each value would take a quarter of the time of sealing it. Each IV is given out once. */
const newIv = (): Buffer => {
  if (ivs.length === 0) ivs = randomBytes(IV_BYTES * 256)
  const iv = ivs.subarray(0, IV_BYTES)
  ivs = ivs.subarray(IV_BYTES)
  return iv
}

/**
 * Decodes base64url strictly. Buffer.from ignores characters that it does not know, so a stored value could be altered
 * without notice.
 */
const decode = (text: string): Buffer | undefined => {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}

interface Cell {
  readonly keyId: string
  readonly iv: Buffer
  readonly body: Buffer
}

const parse = (sealed: string): Cell | undefined => {
  const [format, keyId, ivText, bodyText, ...rest] = sealed.split('.')
  if (format !== FORMAT || keyId === undefined || ivText === undefined || bodyText === undefined || rest.length > 0)
    return undefined
  const iv = decode(ivText)
  const body = decode(bodyText)
  if (!KEY_ID.test(keyId) || iv?.length !== IV_BYTES || body === undefined || body.length < TAG_BYTES) return undefined
  return { keyId, iv, body }
}

export interface Envelope {
  /**
   * Encrypts with the current key; the same value sealed twice gives different texts. Throws a TypeError if the text is
   * not well-formed.
   */
  seal(plaintext: Secret, address: CellAddress): string
  /**
   * Throws DecryptionFailed (`decryption-failed`) unless exactly this text was sealed for exactly this column, row and
   * version.
   */
  open(sealed: string, address: CellAddress): Secret
}

export const makeEnvelope = ({ keys }: { keys: KeyRing }): Envelope => ({
  seal(plaintext, address) {
    // Half a surrogate pair has no UTF-8 form, so the value would be a different text when opened.
    if (!plaintext.reveal().isWellFormed()) throw new TypeError('only well-formed text can be sealed')
    const iv = newIv()
    const cipher = createCipheriv('aes-256-gcm', keys.current.encryption, iv, { authTagLength: TAG_BYTES })
    cipher.setAAD(additionalData(keys.current.id, address))
    const body = Buffer.concat([cipher.update(plaintext.reveal(), 'utf8'), cipher.final(), cipher.getAuthTag()])
    return [FORMAT, keys.current.id, iv.toString('base64url'), body.toString('base64url')].join('.')
  },

  open(sealed, address) {
    const cell = parse(sealed)
    if (cell === undefined) throw new DecryptionFailed('malformed')
    const key = keys.all.find(({ id }) => id === cell.keyId)
    if (key === undefined) throw new DecryptionFailed('unknown-key', cell.keyId)
    const aad = additionalData(key.id, address)
    const decipher = createDecipheriv('aes-256-gcm', key.encryption, cell.iv, { authTagLength: TAG_BYTES })
    decipher.setAAD(aad)
    decipher.setAuthTag(cell.body.subarray(-TAG_BYTES))
    try {
      const plaintext = Buffer.concat([decipher.update(cell.body.subarray(0, -TAG_BYTES)), decipher.final()])
      return new Secret(plaintext.toString('utf8'))
    } catch {
      throw new DecryptionFailed('not-authentic', key.id)
    }
  },
})
