import { SkerryError } from '@skerry/contracts'

/** Page tokens are the sort key of the last item seen, opaque to callers. */
export const encodePageToken = (lastKey: string): string => Buffer.from(lastKey).toString('base64url')

export function decodePageToken(token: string | undefined): string | undefined {
  if (token === undefined) return undefined
  const key = Buffer.from(token, 'base64url').toString()
  if (key === '' || encodePageToken(key) !== token)
    throw new SkerryError('invalid-request', 'pageToken is not one that a list gave')
  return key
}

export type PageOf<T> = { items: T[]; nextPageToken?: string }

/** Takes one row more than the page holds, so that the last page needs no second query. */
export function toPage<Row, T>(
  rows: Row[],
  limit: number,
  key: (row: Row) => string,
  item: (row: Row) => T
): PageOf<T> {
  const items = rows.slice(0, limit).map(item)
  const last = rows[limit - 1]
  return rows.length > limit && last !== undefined ? { items, nextPageToken: encodePageToken(key(last)) } : { items }
}
