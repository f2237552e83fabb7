/* SPDX-License-Identifier: Apache-2.0 */
/* Offline packing, as pack.h says. */
