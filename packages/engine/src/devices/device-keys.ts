import { createPublicKey, verify } from 'node:crypto'
import {
  type Device,
  keyRotationText,
  type RotateKeyAnswer,
  type RotateKeyRequest,
  SkerryError
} from '@skerry/contracts'
import type { Cluster } from '../cluster/cluster.ts'
import type { EngineResources } from '../resources.ts'

/** Devices' own keys: a new one takes the place of the old one when both say so. */
export class DeviceKeys {
  readonly #resources: EngineResources
  readonly #cluster: Cluster

  constructor(resources: EngineResources, cluster: Cluster) {
    this.#resources = resources
    this.#cluster = cluster
  }

  /** Asks a device to make a new key. Throws `device-state` for one that is away, revoked, or whose agent is too old. */
  async request(idOrName: string): Promise<Device> {
    const device = await this.#resources.registry.devices.get(idOrName)
    const { name, state, facts } = device
    if (state === 'revoked') throw new SkerryError('device-state', `Device ${name} was revoked for good`)
    const away = () => new SkerryError('device-state', `Device ${name} is not connected`)
    if ((await this.#resources.registry.devices.holder(device.id)) === null) throw away()
    if (facts.understands?.includes('rotate-key') !== true)
      throw new SkerryError('device-state', `The agent of ${name} is too old to change its key: update it`)
    const frame = { type: 'rotate-key' as const }
    if (!(await this.#cluster.toDevice(device.id, { type: 'device-frame', deviceId: device.id, frame }))) throw away()
    return device
  }

  /**
   * Takes the new key. A request whose answer was lost may come again: the key that it brings is the device's by then,
   * and the proof by the old one is not needed twice. Throws `device-unknown`, `device-unproven`, `device-revoked`.
   */
  async rotate({ deviceId, publicKey, ...signatures }: RotateKeyRequest, newKey: Buffer): Promise<RotateKeyAnswer> {
    const { registry, log } = this.#resources
    const text = Buffer.from(keyRotationText(deviceId, publicKey))
    const isBy = (der: Buffer, signature: string): boolean =>
      verify(null, text, createPublicKey({ key: der, format: 'der', type: 'spki' }), Buffer.from(signature, 'base64'))
    const known = await registry.devices.publicKey(deviceId)
    if (known === null) throw new SkerryError('device-unknown', 'This control plane does not know the device')
    const isTaken = known.publicKey.equals(newKey)
    if (!isBy(newKey, signatures.newSignature))
      throw new SkerryError('device-unproven', 'The request is not signed by the new key')
    if (!isTaken && !isBy(known.publicKey, signatures.oldSignature))
      throw new SkerryError('device-unproven', "The request is not signed by the device's present key")
    if (known.revoked) throw new SkerryError('device-revoked', 'An operator revoked this device')
    if (!isTaken) {
      if (!(await registry.devices.replaceKey(deviceId, known.publicKey, newKey)))
        throw new SkerryError('device-unproven', 'The key changed meanwhile, or the device was revoked')
      log.info({ device: deviceId }, 'a device changed its key')
      // Whoever holds this session proved the old key.
      const reason = 'the key of this device was replaced'
      await this.#cluster.toDevice(deviceId, { type: 'device-close', deviceId, reason })
    }
    return { deviceId, publicKey }
  }
}
