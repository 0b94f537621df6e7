import type { Static } from 'typebox'
import { PlacementState } from './devices.ts'
import { Requirements } from './requirements.ts'
import { Id, Labels, Name, Sha256, Timestamp } from './schema.ts'
import { Type } from './type.ts'

export const DeploymentRequest = Type.Object(
  {
    name: Name,
    model: Name,
    version: Name,
    variants: Type.Optional(
      Type.Union([Type.Literal('auto'), Type.Array(Type.String(), { minItems: 1 })], { default: 'auto' })
    ),
    selector: Type.Optional(Labels),
    requirements: Type.Optional(Requirements),
    allowUnproven: Type.Optional(Type.Boolean({ default: false })),
    rollout: Type.Optional(Type.Object({ strategy: Type.Literal('all') }))
  },
  { additionalProperties: false }
)
export type DeploymentRequest = Static<typeof DeploymentRequest>

export const DeploymentPhase = Type.Enum(['progressing', 'ready', 'paused', 'rolling-back', 'rolled-back', 'failed'])
export type DeploymentPhase = Static<typeof DeploymentPhase>

export const Placement = Type.Object({
  device: Id,
  deviceName: Type.String(),
  runtime: Type.Union([Type.String(), Type.Null()]),
  variant: Type.Union([Type.String(), Type.Null()]),
  artifact: Type.Union([Sha256, Type.Null()]),
  state: PlacementState,
  reason: Type.Optional(Type.String()),
  measured: Type.Optional(Type.Array(Type.Object({ variant: Type.String(), p50Ms: Type.Number() }))),
  passedOver: Type.Optional(
    Type.Array(Type.Object({ variant: Type.String(), reason: Type.String() }), {
      description: 'servable variants that this device cannot run, and why'
    })
  ),
  updatedAt: Timestamp
})
export type Placement = Static<typeof Placement>

export const Deployment = Type.Object({
  name: Name,
  model: Name,
  version: Name,
  variants: Type.Union([Type.Literal('auto'), Type.Array(Type.String())]),
  selector: Labels,
  requirements: Requirements,
  allowUnproven: Type.Boolean(),
  phase: DeploymentPhase,
  devices: Type.Array(Placement),
  createdAt: Timestamp
})
export type Deployment = Static<typeof Deployment>
