//! Every Task of every flow, broken in every way, in virtual time
