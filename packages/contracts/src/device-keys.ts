import type { Static } from 'typebox'
import { SUBPROTOCOL } from './agent-frames.ts'
import { Id } from './schema.ts'
import { Type } from './type.ts'

/**
 * What the old and the new key both sign. No nonce: the old signature counts only while the old key is the device's,
 * and what repeats it then can bring about only what the device itself asked for.
 */
export const keyRotationText = (deviceId: string, publicKey: string): string =>
  `${SUBPROTOCOL} rotate-key\n${deviceId}\n${publicKey}`

const signature = Type.String({ maxLength: 200, description: 'Ed25519, base64' })

/** A device's new key in place of its old one. The same request again is answered like the first. */
export const RotateKeyRequest = Type.Object(
  {
    deviceId: Id,
    publicKey: Type.String({ description: 'The new one: Ed25519, SPKI DER, base64', maxLength: 200 }),
    oldSignature: signature,
    newSignature: signature
  },
  { additionalProperties: false }
)
export type RotateKeyRequest = Static<typeof RotateKeyRequest>
/** From here on only the new key opens a session; the one that is open ends. */
export const RotateKeyAnswer = Type.Object({ deviceId: Id, publicKey: Type.String() })
export type RotateKeyAnswer = Static<typeof RotateKeyAnswer>
