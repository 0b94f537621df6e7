import type { Filter } from '../framework.ts'

/** Reads how much of the group is placed on each value of a label, for example site. */
export const spreadFilter: Filter = {
  name: 'spread',
  reads: 'device.labels, work.spread, context.placedByValue',
  reject: ({ spread }, { labels }, { placedByValue }) => {
    if (spread === null) return null
    const value = labels[spread.label]
    if (value === undefined) return `has no label ${spread.label} to spread over`
    const own = placedByValue.on(value)
    return own + 1 - Math.min(placedByValue.least, own) <= spread.maxSkew
      ? null
      : `${spread.label} ${value} has its share`
  }
}
