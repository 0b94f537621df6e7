import type { ConfigReport, DeviceConfigPatch, DeviceConfigState } from '@skerry/contracts'
import type { EngineResources } from '../resources.ts'
import type { Fleet, Session } from './fleet.ts'

type State = DeviceConfigState & { deviceId: string }

/**
 * What operators set for devices: kept in the registry, sent at the start of each session and when it changes, and
 * answered by the device. An agent that is too old for it is sent nothing.
 */
export class DeviceConfigs {
  readonly #resources: EngineResources
  readonly #fleet: Fleet

  constructor(resources: EngineResources, fleet: Fleet) {
    this.#resources = resources
    this.#fleet = fleet
  }

  get(idOrName: string): Promise<DeviceConfigState> {
    return this.#resources.registry.deviceConfigs.get(idOrName)
  }

  async change(idOrName: string, patch: DeviceConfigPatch): Promise<DeviceConfigState> {
    const state = await this.#resources.registry.deviceConfigs.patch(idOrName, patch)
    const session = this.#fleet.get(state.deviceId)
    if (session !== undefined) this.#send(session, state)
    return state
  }

  /** After the welcome. */
  async begin(session: Session): Promise<void> {
    this.#send(session, await this.#resources.registry.deviceConfigs.get(session.deviceId))
  }

  async onReport(session: Session, { revision, applied, refused }: ConfigReport): Promise<void> {
    const { registry, nowMs, log } = this.#resources
    await registry.deviceConfigs.report(session.deviceId, { revision, applied, refused }, new Date(nowMs()))
    log.info({ device: session.name, revision, refused: refused.length }, 'a device answered its configuration')
  }

  #send({ link }: Session, { understood, revision, wanted }: State): void {
    // Where nothing was ever set there is nothing to say; where all was taken back there is.
    if (understood && revision > 0) link.send({ type: 'config', revision, config: wanted })
  }
}
