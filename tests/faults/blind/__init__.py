"""Faults written before the rules were looked at, and what the rules of that day said of them."""

NAMED_AT_FIRST = """
foreign_chunk_of_z_forgotten foreign_dcgan_saturated foreign_dict_noise_shared net_affine_raw net_d_filter_sum_8
net_d_skip_raw net_fc_scaled_twice net_leaky_slope_2 net_mapping_lr_once net_nearest_times_4 net_z_batch_axis
step_average_copies step_hinge_exchanged step_optimizer_recreated
""".split()  # noqa: SIM905

FOUND_AT_FIRST = [
    *NAMED_AT_FIRST,
    "net_const_zero",
    "net_logits_batch_mean",
    "path_length_batch_mean",
    "r1_absolute",
    "step_optimizer_holds_average",
]
