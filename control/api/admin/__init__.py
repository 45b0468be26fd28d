"""The admin portal's API: `/admin`."""
