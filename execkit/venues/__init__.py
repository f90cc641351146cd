"""Where orders go. `base` has the protocol; `paper` simulates on a market; live venues come next."""
