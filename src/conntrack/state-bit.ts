/** Bits of Field.CtState, as the conntrack match numbers them (include/uapi/linux/netfilter/xt_conntrack.h). */
export const CT_STATE_INVALID = 1 << 0;
export const CT_STATE_ESTABLISHED = 1 << 1;
export const CT_STATE_RELATED = 1 << 2;
export const CT_STATE_NEW = 1 << 3;
export const CT_STATE_SNAT = 1 << 6;
export const CT_STATE_DNAT = 1 << 7;
export const CT_STATE_UNTRACKED = 1 << 8;
