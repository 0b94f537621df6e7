import { createHash, randomBytes } from 'node:crypto'
import { v7 } from 'uuid'

/** UUIDv7: ids sort by time of creation. */
export const newId = (): string => v7()

/** Secrets are stored as this hash only; they are random, so a plain hash cannot be searched. */
export const secretHash = (secret: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(createHash('sha256').update(secret).digest())

export const newSecret = (prefix: string): string => `${prefix}_${randomBytes(24).toString('base64url')}`

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
/** A path parameter that is no UUID names nothing; Postgres would call it an error. */
export const isUuid = (text: string): boolean => UUID.test(text)
