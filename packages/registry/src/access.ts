import { generateKeyPairSync } from 'node:crypto'
import { type JoinToken, type JoinTokenRequest, type Labels, SkerryError } from '@skerry/contracts'
import type { Connection } from './connection.ts'
import { newId, newSecret, secretHash } from './ids.ts'

export type ApiKeyIdentity = { id: string; name: string }
export type JoinGrant = { labels: Labels; capabilities: string[] }

/** API keys, join tokens and the control plane's own signing key. */
export class AccessRegistry {
  readonly #db: Connection
  constructor(db: Connection) {
    this.#db = db
  }

  async findApiKey(key: string): Promise<ApiKeyIdentity | null> {
    const row = await this.#db.prisma.apiKey.findUnique({ where: { keyHash: secretHash(key) } })
    return row === null || row.revokedAt !== null ? null : { id: row.id, name: row.name }
  }

  /** Makes `key` the key of this name; the one it replaces stops working. */
  async setApiKey(name: string, key: string): Promise<void> {
    const keyHash = secretHash(key)
    await this.#db.prisma.apiKey.upsert({
      where: { name },
      create: { id: newId(), name, keyHash },
      update: { keyHash, revokedAt: null }
    })
  }

  async createJoinToken(request: JoinTokenRequest): Promise<JoinToken> {
    const token = newSecret('join')
    const expiresAt = new Date(Date.now() + (request.ttlMs ?? 3_600_000))
    const row = await this.#db.prisma.joinToken.create({
      data: {
        id: newId(),
        tokenHash: secretHash(token),
        labels: request.labels ?? {},
        capabilities: request.capabilities ?? ['infer'],
        usesLeft: request.uses ?? 1,
        expiresAt
      }
    })
    return { id: row.id, token, expiresAt: expiresAt.toISOString() }
  }

  /** Takes one use of the token, or refuses: the count and the check are one statement, so no use is taken twice. */
  async redeemJoinToken(token: string): Promise<JoinGrant> {
    const { rows } = await this.#db.pool.query<{ labels: Labels; capabilities: string[] }>(
      `UPDATE join_tokens SET uses_left = uses_left - 1
       WHERE token_hash = $1 AND uses_left > 0 AND expires_at > now() RETURNING labels, capabilities`,
      [Buffer.from(secretHash(token))]
    )
    const row = rows[0]
    if (row === undefined)
      throw new SkerryError('token-invalid', 'Ask for a new token: POST /api/v1/join-tokens, or npx skerry join-token')
    return row
  }

  /** The Ed25519 key that signs manifests (DER: SPKI and PKCS8), made at the first call. */
  async signingKey(): Promise<{ publicKey: Buffer; privateKey: Buffer }> {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519', {
      publicKeyEncoding: { type: 'spki', format: 'der' },
      privateKeyEncoding: { type: 'pkcs8', format: 'der' }
    })
    await this.#db.pool.query(
      `INSERT INTO signing_keys (id, public_key, private_key) VALUES ('manifests', $1, $2) ON CONFLICT (id) DO NOTHING`,
      [publicKey, privateKey]
    )
    const row = await this.#db.prisma.signingKey.findUniqueOrThrow({ where: { id: 'manifests' } })
    return { publicKey: Buffer.from(row.publicKey), privateKey: Buffer.from(row.privateKey) }
  }
}
